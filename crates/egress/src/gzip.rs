//! Inflating gzip (RFC 1952) under a limit. The limit is looked at after every 32 KiB of output, so a bomb
//! costs the limit and no more.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use crate::{body::Meter, error::EgressError};

const CHUNK: usize = 32 * 1024;
/// RFC 1950 window of 32 KiB, the largest gzip uses.
const WINDOW_BITS: u8 = 15;

pub(crate) struct Inflater {
    decompress: Decompress,
    /// Between members: at the very beginning, or after a checksum matched.
    at_boundary: bool,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { decompress: Decompress::new_gzip(WINDOW_BITS), at_boundary: true }
    }

    /// All output that `input` yields; empty when more input is needed first.
    pub(crate) fn inflate(&mut self, mut input: &[u8], meter: &mut Meter) -> Result<Bytes, EgressError> {
        let mut output = Vec::new();
        loop {
            if self.at_boundary {
                if input.is_empty() {
                    break;
                }
                self.decompress = Decompress::new_gzip(WINDOW_BITS);
                self.at_boundary = false;
            }
            output.reserve(CHUNK);
            let (consumed, produced) = (self.decompress.total_in(), output.len());
            let status = self
                .decompress
                .decompress_vec(input, &mut output, FlushDecompress::None)
                .map_err(|_| EgressError::Protocol { sent: true })?;
            let consumed = usize::try_from(self.decompress.total_in() - consumed).unwrap_or(input.len());
            input = &input[consumed..];
            meter.add(output.len() - produced)?;
            match status {
                Status::StreamEnd => self.at_boundary = true,
                // Room was left, so all there was came out.
                _ if input.is_empty() && output.len() < output.capacity() => break,
                Status::BufError if consumed == 0 && output.len() == produced => break,
                _ => {}
            }
        }
        Ok(Bytes::from(output))
    }

    /// Whether the input ended where a member ended.
    pub(crate) const fn is_complete(&self) -> bool {
        self.at_boundary
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::limits::ByteLimit;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn meter(bytes: u64) -> Meter {
        Meter::new(ByteLimit { name: "test", bytes })
    }

    #[test]
    fn any_split_of_the_input_gives_the_same_output() {
        let data: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        let packed = gzip(&data);
        for size in [1, 7, 4096, packed.len()] {
            let (mut inflater, mut meter) = (Inflater::new(), meter(1 << 20));
            let mut output = Vec::new();
            for piece in packed.chunks(size) {
                output.extend_from_slice(&inflater.inflate(piece, &mut meter).unwrap());
            }
            assert!(inflater.is_complete());
            assert!(output == data, "pieces of {size}");
        }
    }

    #[test]
    fn members_follow_one_another() {
        let packed = [gzip(b"one "), gzip(b"two")].concat();
        let mut inflater = Inflater::new();
        assert_eq!(inflater.inflate(&packed, &mut meter(100)).unwrap(), "one two");
        assert!(inflater.is_complete());
    }

    #[test]
    fn a_flushed_piece_comes_out_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"data: 1\n\n").unwrap();
        encoder.flush().unwrap();
        let mut inflater = Inflater::new();
        assert_eq!(inflater.inflate(encoder.get_ref(), &mut meter(100)).unwrap(), "data: 1\n\n");
        assert!(!inflater.is_complete());
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let packed = gzip(&vec![0; 50 << 20]);
        let error = Inflater::new().inflate(&packed, &mut meter(1 << 20)).unwrap_err();
        assert_eq!(error, EgressError::BodyTooLarge { limit_name: "test", limit: 1 << 20 });
    }

    #[test]
    fn rubbish_is_a_protocol_error() {
        assert!(Inflater::new().inflate(b"not gzip at all", &mut meter(100)).is_err());
        let mut broken = gzip(b"some text that is long enough");
        let last = broken.len() - 6;
        broken[last] ^= 0xff;
        assert!(Inflater::new().inflate(&broken, &mut meter(100)).is_err());
    }
}
