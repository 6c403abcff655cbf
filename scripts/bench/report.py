"""What came out: a table, a file, a chart."""

import json
import statistics

import loads


def medians(results):
    """The median of each load's rounds, by filesystem."""
    return {
        filesystem: {load: statistics.median(rates) for load, rates in of.items() if rates}
        for filesystem, of in results.items()
    }


def table(results):
    """A table in Markdown: each peer's rate, and kmsfs as a multiple of it."""
    middle = medians(results)
    ours = middle.get("kmsfs", {})
    peers = [name for name in middle if name != "kmsfs"]
    lines = [
        "| load | unit | kmsfs | " + " | ".join(peers) + " |",
        "| --- " * (3 + len(peers)) + "|",
    ]
    for load, (name, unit, _) in loads.ALL.items():
        if not any(load in of for of in middle.values()):
            continue
        cells = [figure(ours.get(load))]
        for peer in peers:
            rate = middle[peer].get(load)
            ratio = f" ({ours[load] / rate:.2f} ×)" if rate and load in ours else ""
            cells.append(figure(rate) + ratio)
        lines.append(f"| {name} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure(rate):
    return "failed" if rate is None else f"{rate:,.0f}".replace(",", " ")


def write(folder, results, about):
    """`results.json` with every round, and `chart.svg`."""
    everything = {"about": about, "medians": medians(results), "rounds": results}
    (folder / "results.json").write_text(json.dumps(everything, indent=2) + "\n")
    chart(folder / "chart.svg", results)


def chart(path, results):
    """Each filesystem's rate as a multiple of kmsfs', by load."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    middle = medians(results)
    ours = middle.get("kmsfs", {})
    names = [load for load in loads.ALL if load in ours]
    figure_, axes = pyplot.subplots(figsize=(9, 0.6 * len(names) + 1.5))
    height = 0.8 / len(middle)
    for number, (filesystem, of) in enumerate(middle.items()):
        places = [place + number * height for place in range(len(names))]
        rates = [of.get(load, 0) / ours[load] for load in names]
        axes.barh(places, rates, height, label=filesystem)
    axes.set_yticks([place + 0.4 for place in range(len(names))], [loads.ALL[load][0] for load in names])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.5)
    axes.set_xlabel("rate, kmsfs = 1")
    axes.legend()
    figure_.tight_layout()
    figure_.savefig(path)
