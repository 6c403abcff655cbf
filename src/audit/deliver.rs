//! How a sink is spoken to.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::checkpoint::Checkpoint;
use super::elsewhere::ElsewhereHead;
use super::record::Fields;
use super::sink::Target;
use super::{Outcome, Record};

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Facility 13, log audit; severity 6 informational, 4 warning (RFC 5424, section 6.2.1).
const AUDIT: u8 = 13 * 8;

/// The way to one sink.
pub(super) struct Delivery {
    target: Target,
    log: String,
    host: String,
    connection: Option<Connection>,
}

enum Connection {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Delivery {
    pub(super) fn new(target: Target, log: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            target,
            log: log.to_owned(),
            host: host.trim_end().to_owned(),
            connection: None,
        }
    }

    /// Delivers one record, as far as the system can tell.
    pub(super) fn send(&mut self, line: &[u8]) -> io::Result<()> {
        if let Target::Heads(file) = &self.target {
            return match Checkpoint::read(line) {
                Some(Ok(checkpoint)) => append_head(file, &self.log, &checkpoint),
                _ => Ok(()),
            };
        }
        // The log's own lines are records.
        let Ok(fields) = Fields::read(line) else {
            return Ok(());
        };
        let record = fields.into_record(&self.log, line);
        let message = match &self.target {
            Target::Journald(_) => journal(&record),
            _ => self.syslog(&record),
        };
        let sent = self.connected().and_then(|connection| match connection {
            Connection::Unix(socket) => socket.send(&message).map(drop),
            Connection::Udp(socket) => socket.send(&message).map(drop),
            Connection::Tcp(stream) => {
                let mut framed = format!("{} ", message.len()).into_bytes();
                framed.extend_from_slice(&message);
                stream.write_all(&framed)
            }
        });
        if sent.is_err() {
            self.connection = None;
        }
        sent
    }

    fn connected(&mut self) -> io::Result<&mut Connection> {
        if self.connection.is_none() {
            self.connection = Some(connect(&self.target)?);
        }
        Ok(self.connection.as_mut().expect("made just above"))
    }

    /// RFC 5424: the record is the message, the log's name the PROCID, the event's the MSGID.
    fn syslog(&self, record: &Record) -> Vec<u8> {
        let host = if self.host.is_empty() {
            "-"
        } else {
            &self.host
        };
        let Record {
            time, log, name, ..
        } = record;
        let header = format!(
            "<{}>1 {time} {host} kmsfs {log} {name} - ",
            AUDIT + severity(record)
        );
        [header.as_bytes(), record.line.as_bytes()].concat()
    }
}

/// The journal's own protocol: a field a line (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). Records
/// have no newline.
fn journal(record: &Record) -> Vec<u8> {
    let Record {
        log,
        seq,
        name,
        outcome,
        line,
        ..
    } = record;
    // A name may have control characters, a newline among them.
    let user: String = record.user.chars().flat_map(char::escape_debug).collect();
    let priority = severity(record);
    format!(
        "MESSAGE={name} by {user}: {outcome} (record {seq} of {log})\nPRIORITY={priority}\n\
             SYSLOG_FACILITY=13\nSYSLOG_IDENTIFIER=kmsfs\nKMSFS_LOG={log}\nKMSFS_SEQ={seq}\n\
             KMSFS_EVENT={name}\nKMSFS_OUTCOME={outcome}\nKMSFS_RECORD={line}\n"
    )
    .into_bytes()
}

fn severity(record: &Record) -> u8 {
    match record.outcome {
        Outcome::Allowed => 6,
        Outcome::Denied | Outcome::Failed => 4,
    }
}

fn connect(target: &Target) -> io::Result<Connection> {
    match target {
        Target::Journald(path) | Target::SyslogUnix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            socket.connect(path)?;
            Ok(Connection::Unix(socket))
        }
        Target::SyslogUdp(address) => {
            let to = resolve(address)?;
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            Ok(Connection::Udp(socket))
        }
        Target::SyslogTcp(address) => {
            let stream = TcpStream::connect_timeout(&resolve(address)?, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(Connection::Tcp(stream))
        }
        Target::Heads(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn resolve(address: &str) -> io::Result<std::net::SocketAddr> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    address.to_socket_addrs()?.next().ok_or_else(unknown)
}

/// Appends the signed head that a checkpoint tells, in one write, and on a line of its own also after one
/// that a kill or a full disk left unfinished.
fn append_head(file: &Path, log: &str, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut opened = options.open(file)?;
    // Other logs' heads go there too, and none is unfinished while the lock is held. Where a filesystem has
    // no locks, a line is mostly whole all the same.
    let _ = flock(&opened, FlockOperation::LockExclusive);
    let mut line = Vec::new();
    if let Some(last) = opened.metadata()?.len().checked_sub(1) {
        let mut byte = [0];
        opened.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            line.push(b'\n');
        }
    }
    serde_json::to_writer(&mut line, &ElsewhereHead::new(log, checkpoint))?;
    line.push(b'\n');
    opened.write_all(&line)?;
    opened.sync_data()
}
