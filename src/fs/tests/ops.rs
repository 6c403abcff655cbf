//! Random operations: where they begin and end, and on what.

use proptest::prelude::*;

/// Where one block, one request or one page ends and the next begins, and the bytes around it.
const EDGES: &[u64] = &[
    0, 1, 39, 40, 41, 100, 4055, 4056, 4057, 4095, 4096, 4097, 4136, 8191, 8192, 8193, 12_288,
    20_000, 0xf_ffff, 0x10_0000, 0x10_0001, 0x10_1000,
];
/// Links whose target fits into a backing link, just fits, and does not.
const TARGETS: &[usize] = &[1, 33, 700, 734, 735, 4095];

/// Names of every kind: short, no text, and so long that they need a sidecar.
pub(super) fn name(number: u8) -> Vec<u8> {
    match number % 6 {
        0 => b"a".to_vec(),
        1 => b"b".to_vec(),
        2 => b"\xff\xfe \n".to_vec(),
        3 => vec![b'l'; 176],
        4 => vec![0xe4; 255],
        _ => vec![b'c'; 175],
    }
}

/// Some directory, and a name in it.
pub(super) type Somewhere = (u8, u8);

#[derive(Debug, Clone, Copy)]
pub(super) enum Offset {
    At(u64),
    /// From the end of the file.
    End(i8),
}

#[derive(Debug, Clone)]
pub(super) enum Op {
    Create(Somewhere, u32),
    Open(Somewhere, bool),
    Close(u8),
    Read(u8, Offset, u64),
    Write(u8, Offset, u64, u8),
    SetLength(Somewhere, Offset),
    SetLengthOpen(u8, Offset),
    Allocate(u8, Offset, u64, u8),
    Fsync(u8),
    MakeDirectory(Somewhere),
    RemoveDirectory(Somewhere),
    Symlink(Somewhere, usize),
    Fifo(Somewhere),
    Unlink(Somewhere),
    Link(Somewhere, Somewhere),
    Rename(Somewhere, Somewhere, u8),
    SetMode(Somewhere, u32),
    SetTime(Somewhere, i64),
    SetXattr(Somewhere, u8, usize, u8),
    RemoveXattr(Somewhere, u8),
    List(u8),
    FsyncDirectory(u8),
    Forget(Somewhere),
    Remount(bool),
}

fn somewhere() -> impl Strategy<Value = Somewhere> {
    (0..4_u8, 0..6_u8)
}

fn edge() -> impl Strategy<Value = u64> {
    prop_oneof![4 => prop::sample::select(EDGES), 1 => 0..20_000_u64]
}

fn offset() -> impl Strategy<Value = Offset> {
    prop_oneof![
        3 => edge().prop_map(Offset::At),
        2 => (-2..3_i8).prop_map(Offset::End),
    ]
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let mode = || prop::sample::select(&[0o644_u32, 0o600, 0o755, 0o4711, 0o000][..]);
    prop_oneof![
        6 => (somewhere(), mode()).prop_map(|(at, mode)| Op::Create(at, mode)),
        3 => (somewhere(), prop::bool::weighted(0.2)).prop_map(|(at, empty)| Op::Open(at, empty)),
        3 => (0..4_u8).prop_map(Op::Close),
        3 => (0..4_u8, offset(), edge()).prop_map(|(h, at, len)| Op::Read(h, at, len)),
        12 => (0..4_u8, offset(), edge(), 1..=255_u8)
            .prop_map(|(h, at, len, byte)| Op::Write(h, at, len, byte)),
        2 => (somewhere(), offset()).prop_map(|(at, len)| Op::SetLength(at, len)),
        3 => (0..4_u8, offset()).prop_map(|(h, len)| Op::SetLengthOpen(h, len)),
        4 => (0..4_u8, offset(), edge(), 0..5_u8)
            .prop_map(|(h, at, len, mode)| Op::Allocate(h, at, len, mode)),
        2 => (0..4_u8).prop_map(Op::Fsync),
        3 => somewhere().prop_map(Op::MakeDirectory),
        2 => somewhere().prop_map(Op::RemoveDirectory),
        2 => (somewhere(), prop::sample::select(TARGETS)).prop_map(|(at, l)| Op::Symlink(at, l)),
        1 => somewhere().prop_map(Op::Fifo),
        3 => somewhere().prop_map(Op::Unlink),
        2 => (somewhere(), somewhere()).prop_map(|(from, to)| Op::Link(from, to)),
        6 => (somewhere(), somewhere(), 0..4_u8).prop_map(|(a, b, mode)| Op::Rename(a, b, mode)),
        1 => (somewhere(), mode()).prop_map(|(at, mode)| Op::SetMode(at, mode)),
        1 => (somewhere(), 0..1_000_000_000_i64).prop_map(|(at, time)| Op::SetTime(at, time)),
        2 => (somewhere(), 0..2_u8, 0..300_usize, 0..3_u8)
            .prop_map(|(at, name, len, create)| Op::SetXattr(at, name, len, create)),
        1 => (somewhere(), 0..2_u8).prop_map(|(at, name)| Op::RemoveXattr(at, name)),
        1 => (0..4_u8).prop_map(Op::List),
        1 => (0..4_u8).prop_map(Op::FsyncDirectory),
        2 => somewhere().prop_map(Op::Forget),
        1 => any::<bool>().prop_map(Op::Remount),
    ]
}
