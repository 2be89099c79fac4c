//! A PNG of one colour (RFC 2083), with its pixels in an uncompressed deflate block (RFC 1951 section 3.2.4): small
//! enough to need no library.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::Answer;

const SIDE: u32 = 32;

pub(super) fn answer(arguments: &Value) -> Answer {
    let color = arguments["color"].as_str().unwrap_or_default();
    let Some(rgb) = parse(color) else {
        return Answer::Failed(format!("`{color}` is not a color such as #3366cc."));
    };
    Answer::Content(json!([
        {"type": "text", "text": format!("{SIDE} × {SIDE} pixels of {color}")},
        {"type": "image", "data": STANDARD.encode(png(rgb)), "mimeType": "image/png"},
    ]))
}

fn parse(color: &str) -> Option<[u8; 3]> {
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let value = u32::from_str_radix(digits, 16).ok()?;
    let [_, red, green, blue] = value.to_be_bytes();
    Some([red, green, blue])
}

fn png(rgb: [u8; 3]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [SIDE.to_be_bytes(), SIDE.to_be_bytes()].concat();
    // 8 bits a channel, true colour, no interlacing.
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut file, *b"IHDR", &header);
    let mut line = vec![0];
    (0..SIDE).for_each(|_| line.extend(rgb));
    chunk(&mut file, *b"IDAT", &zlib(&line.repeat(SIDE as usize)));
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let begin = file.len();
    file.extend(kind);
    file.extend(data);
    let checksum = crc32fast::hash(&file[begin..]);
    file.extend(checksum.to_be_bytes());
}

/// One stored block: `data` is shorter than 64 KiB.
fn zlib(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend(length.to_le_bytes());
    stream.extend((!length).to_le_bytes());
    stream.extend(data);
    let (mut low, mut high) = (1u32, 0u32);
    for &byte in data {
        low = (low + u32::from(byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    stream.extend(((high << 16) | low).to_be_bytes());
    stream
}
