"""Runs the loads of `loads` on the filesystems of `filesystems`, in turn, and reports."""

import argparse
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import filesystems
import loads
import report
from filesystems import run


def names(known):
    def parse(text):
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
        return chosen

    return parse


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__)
    parser.add_argument("folder", type=Path, help="where results.json and chart.svg go")
    parser.add_argument("--on", type=Path, help="a directory for the backing directories, instead of a tmpfs")
    parser.add_argument("--rounds", type=int, default=5)
    peers, all_loads = ", ".join(filesystems.ALL), ", ".join(loads.ALL)
    parser.add_argument("--peers", type=names(filesystems.ALL), default=list(filesystems.ALL), help=peers)
    parser.add_argument("--loads", type=names(loads.ALL), default=list(loads.ALL), help=all_loads)
    return parser.parse_args()


def wanted(chosen):
    """The chosen loads and those that they need."""
    needed = set(chosen).union(*(loads.NEEDS.get(load, []) for load in chosen))
    return [load for load in loads.ALL if load in needed]


def one_round(name, directory, chosen, rates):
    """A fresh volume through all loads. What a filesystem cannot do is left out and told."""
    filesystem = filesystems.ALL[name](directory)
    try:
        filesystem.mount()
        for load in chosen:
            try:
                rates.setdefault(load, []).append(loads.ALL[load][2](filesystem))
            except (OSError, RuntimeError, ValueError) as error:
                print(f"{name}: {load}: {error}", file=sys.stderr)
        print(f"{name}: " + ", ".join(f"{load} {rates[load][-1]:.0f}" for load in chosen if rates.get(load)))
        filesystem.unmount()
    finally:
        if os.path.ismount(filesystem.mountpoint):
            run("umount", "-l", filesystem.mountpoint)
        shutil.rmtree(directory)
    return getattr(filesystem, "resident", None)


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    chosen = wanted(options.loads)
    place = Path(tempfile.mkdtemp(prefix="kmsfs-bench-", dir=options.on))
    try:
        if options.on is None:
            run("mount", "-t", "tmpfs", "-o", "size=80%", "tmpfs", place)
        if "untar" in chosen:
            loads.tree_archive(place / "tree.tar")
        results = {name: {} for name in options.peers}
        resident = {}
        for number in range(options.rounds):
            # Who comes first differs from round to round.
            turn = number % len(options.peers)
            for name in options.peers[turn:] + options.peers[:turn]:
                resident[name] = one_round(name, place / name, chosen, results[name])
        about = {
            "kernel": platform.release(),
            "processors": os.cpu_count(),
            "backing": "tmpfs" if options.on is None else str(options.on),
            "rounds": options.rounds,
            "resident bytes after the tree was read": resident,
        }
        report.write(options.folder, results, about)
        print()
        print(report.table(results))
        for name, size in resident.items():
            if size:
                print(f"{name}: {size / 1e6:.0f} MB resident after the tree was read")
    finally:
        if options.on is None and os.path.ismount(place):
            run("umount", "-l", place)
        shutil.rmtree(place)


main()
