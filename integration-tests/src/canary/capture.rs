//! Searching a packet capture (libpcap's classic format, Ethernet frames, IPv4 and IPv6 over TCP).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};

use super::{Findings, Needles, search::Scan};

const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
const MAX_PACKET: usize = 1 << 20;
const TCP: u8 = 6;

/// One direction of one connection: addresses and ports.
type Flow = Vec<u8>;

pub(super) fn search(needles: &Needles, capture: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let file = File::open(capture).with_context(|| format!("opening {}", capture.display()))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    header(&mut reader)?;
    let mut scans: BTreeMap<Flow, Scan<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    while let Some(frame) = packet(&mut reader)? {
        let Some((flow, payload)) = tcp(&frame) else { continue };
        findings.bytes += u64::try_from(payload.len())?;
        scans.entry(flow).or_insert_with(|| Scan::new(needles)).feed(payload, |what| found.push(what));
    }
    for (_, scan) in scans {
        scan.finish(|what| found.push(what));
    }
    for what in found {
        findings.found.entry(what.to_owned()).or_insert_with(|| capture.display().to_string());
    }
    findings.files += 1;
    Ok(())
}

fn header(reader: &mut impl Read) -> anyhow::Result<()> {
    let mut header = [0; 24];
    reader.read_exact(&mut header).context("the capture's header")?;
    let word =
        |at: usize| header.get(at..).and_then(<[u8]>::first_chunk).map(|word| u32::from_le_bytes(*word));
    ensure!(
        matches!(word(0), Some(MAGIC_MICROS | MAGIC_NANOS)),
        "not a capture of this machine's byte order"
    );
    ensure!(word(20) == Some(ETHERNET), "not a capture of Ethernet frames");
    Ok(())
}

/// The next frame; `None` at the end, also when the last one was cut off by stopping.
fn packet(reader: &mut impl Read) -> anyhow::Result<Option<Vec<u8>>> {
    let mut header = [0; 16];
    if reader.read_exact(&mut header).is_err() {
        return Ok(None);
    }
    let [.., a, b, c, d, _, _, _, _] = header;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d]))?;
    if length > MAX_PACKET {
        bail!("a frame of {length} bytes: the capture is damaged");
    }
    let mut frame = vec![0; length];
    Ok(reader.read_exact(&mut frame).is_ok().then_some(frame))
}

/// The flow and what an application said in it.
fn tcp(frame: &[u8]) -> Option<(Flow, &[u8])> {
    let (kind, packet) = frame.get(12..)?.split_first_chunk::<2>()?;
    let (addresses, segment) = match kind {
        [0x08, 0x00] => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            // The frame may be padded; the IP header knows the length. Offloading writes 0 there.
            let total = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
            let end = if total == 0 { packet.len() } else { total.min(packet.len()) };
            (*packet.get(9)? == TCP).then_some(())?;
            (packet.get(12..20)?, packet.get(header..end)?)
        }
        [0x86, 0xdd] => {
            (*packet.get(6)? == TCP).then_some(())?;
            (packet.get(8..40)?, packet.get(40..)?)
        }
        _ => return None,
    };
    let header = usize::from(segment.get(12)? >> 4) * 4;
    let flow = [addresses, segment.get(..4)?].concat();
    Some((flow, segment.get(header..)?))
}

#[cfg(test)]
pub(super) mod tests {
    /// A capture of one connection whose payload comes in these pieces.
    pub(in crate::canary) fn of(pieces: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [super::MAGIC_MICROS, 0x0004_0002, 0, 0, 0xffff, super::ETHERNET] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        for piece in pieces {
            let total = u16::try_from(40 + piece.len()).unwrap().to_be_bytes();
            let mut frame = vec![0; 12];
            frame.extend_from_slice(&[8, 0, 0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 6, 0, 0]);
            frame
                .extend_from_slice(&[127, 0, 0, 1, 127, 0, 0, 1, 0, 80, 0, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0x50]);
            frame.extend_from_slice(&[0; 7]);
            frame.extend_from_slice(piece);
            let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
            file.extend_from_slice(&[0; 8]);
            file.extend_from_slice(&length);
            file.extend_from_slice(&length);
            file.extend_from_slice(&frame);
        }
        file
    }
}
