//! Writes training metrics to event files for TensorBoard.

use std::io::{self, Write};

/// Writes a TensorBoard event file: `TFRecord` records, each with a protocol buffer `Event`.
///
/// A record is the length of its data (u64), the masked CRC-32C of those eight bytes (u32), the data,
/// and its masked CRC-32C (u32), all little-endian. TensorBoard reads only files whose names contain
/// `tfevents`.
#[derive(Debug)]
pub struct EventWriter<W> {
    out: W,
}

/// The version that the first event of a file declares.
const VERSION: &[u8] = b"brain.Event:2";

impl<W: Write> EventWriter<W> {
    /// Starts a file. `wall_time` is in seconds since 1970, as everywhere here.
    ///
    /// # Errors
    /// An I/O error from `out`.
    pub fn new(out: W, wall_time: f64) -> io::Result<EventWriter<W>> {
        let mut writer = EventWriter { out };
        let mut event = Message::default();
        event.double(1, wall_time);
        event.bytes(3, VERSION);
        writer.record(&event.0)?;
        Ok(writer)
    }

    /// Writes the values of one step, each under its tag, as one event, and flushes, so that a training
    /// can be followed live.
    ///
    /// The part of a tag before a slash groups charts.
    ///
    /// # Errors
    /// An I/O error from the writer.
    pub fn scalars(&mut self, wall_time: f64, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Message::default();
        for (tag, value) in values {
            let mut one = Message::default();
            one.bytes(1, tag.as_bytes());
            one.float(2, *value as f32);
            summary.bytes(1, &one.0);
        }
        let mut event = Message::default();
        event.double(1, wall_time);
        event.varint(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0)?;
        self.out.flush()
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        self.out.write_all(&length)?;
        self.out.write_all(&masked_crc(&length).to_le_bytes())?;
        self.out.write_all(data)?;
        self.out.write_all(&masked_crc(data).to_le_bytes())
    }
}

/// A protocol buffer message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

/// The wire type of a field.
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    LengthDelimited = 2,
    Fixed32 = 5,
}

impl Message {
    fn tag(&mut self, field: u64, wire: WireType) {
        self.push_varint(field << 3 | wire as u64);
    }

    /// A base-128 varint: seven bits per byte, the lowest first; the highest bit says that more follow.
    fn push_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.tag(field, WireType::Varint);
        self.push_varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.tag(field, WireType::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.tag(field, WireType::Fixed32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, WireType::LengthDelimited);
        self.push_varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }
}

/// The checksum as masked by `TFRecord`: a CRC of data that itself contains CRCs would be weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected, as in iSCSI (RFC 3720, appendix B.4).
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// The effect of each byte on the remainder.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC catalogue, and the examples of RFC 3720.
    #[test]
    fn checksums_are_the_standards() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn numbers_of_several_bytes() {
        let mut message = Message::default();
        message.varint(2, 300);
        assert_eq!(message.0, [0x10, 0xac, 0x02]);
        // The largest value of one byte and the smallest of two.
        let mut message = Message::default();
        message.varint(2, 127);
        message.varint(2, 128);
        assert_eq!(message.0, [0x10, 0x7f, 0x10, 0x80, 0x01]);
        let mut message = Message::default();
        message.varint(16, u64::MAX);
        assert_eq!(message.0.len(), 2 + 10);
    }

    /// Whoever follows a training sees what has been written to the file, not what is still buffered.
    #[test]
    fn numbers_are_in_the_file_at_once() {
        let mut written = Vec::new();
        let mut kept_back = io::BufWriter::new(&mut written);
        EventWriter::new(&mut kept_back, 1.5).unwrap().scalars(2.5, 3, &[("mse", 0.5)]).unwrap();
        assert!(kept_back.buffer().is_empty());
    }

    /// The bytes that TensorBoard 2's own messages and checksums give.
    #[test]
    fn files_are_those_of_tensorboard() {
        let mut file = Vec::new();
        let mut writer = EventWriter::new(&mut file, 1.5).unwrap();
        writer.scalars(2.5, 300, &[("mse/train", 0.125), ("b", -1.0)]).unwrap();
        let golden = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c\
                      2a00000000000000ae8d91f509000000000000044010ac022a1c0a100a096d73652f747261696e15\
                      0000003e0a080a016215000080bf1b31d2d3";
        let found: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, golden);
    }
}
