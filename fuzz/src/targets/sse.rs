//! Event streams: in whatever pieces they arrive, they say the same.

use switchboard_mcp::{SseDecoder, SseEvent, write_event};

use super::Target;

/// Small, so that inputs reach it.
const LIMIT: usize = 2_048;

pub(super) const TARGET: Target = Target {
    name: "sse",
    corpus: || {
        let long = format!("data: {}\n\n", "a".repeat(LIMIT));
        let streams = [
            "\u{feff}: hi\r\n\r\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\nid: 7\r\n\r\n",
            "data: a\ndata:b\ndata\n\nretry: 10\n\nid\n\n",
            "id: 1\nretry: 9999999999999999999999\ndata: x\r\rdata: y\n\n",
            &long,
        ];
        streams.map(|stream| stream.as_bytes().to_vec()).to_vec()
    },
    words: &[
        "data:",
        "data: ",
        "event: ",
        "id: ",
        "retry: ",
        ":",
        "\n\n",
        "\r\r",
        "\r\n\r\n",
        "data: {}\n\n",
        "\u{feff}",
    ],
    check,
};

fn check(bytes: &[u8]) {
    let (first, stream) = bytes.split_first().map_or((1, bytes), |(first, rest)| (*first, rest));
    let whole = events(stream, stream.len().max(1));
    let pieces = events(stream, usize::from(first).max(1));
    let single = events(stream, 1);
    assert_eq!(single, pieces, "bytes one by one, and in pieces of {first}");
    if let (Ok(whole), Ok(single)) = (&whole, &single) {
        assert_eq!(whole, single, "all at once, and one by one");
        for event in whole.iter().filter(|event| !event.data.contains(&b'\r')) {
            passed_on(event);
        }
    }
}

fn events(stream: &[u8], size: usize) -> Result<Vec<SseEvent>, usize> {
    let mut decoder = SseDecoder::new(LIMIT);
    let mut events = Vec::new();
    for piece in stream.chunks(size) {
        decoder.push(piece);
        while let Some(event) = decoder.next_event().map_err(|_| events.len())? {
            assert!(event.data.len() <= LIMIT, "no event is larger than the limit");
            events.push(event);
        }
    }
    Ok(events)
}

/// What is written again is read as the same data.
fn passed_on(event: &SseEvent) {
    let mut written = Vec::new();
    write_event(&mut written, None, &event.data);
    let mut decoder = SseDecoder::new(written.len() + 1);
    decoder.push(&written);
    let again = decoder.next_event().expect("within the limit").expect("an event");
    assert_eq!(again.data, event.data);
}
