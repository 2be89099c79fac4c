//! Server-sent events (WHATWG HTML, section 9.2), read incrementally and bounded.

use bytes::{Buf, Bytes, BytesMut};

/// A stream may begin with it; it is no part of the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event with data, or with an id alone (a priming event for resumption).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// Event type; empty means `message`.
    pub event: String,
    pub data: Bytes,
    pub id: Option<String>,
    /// Reconnection time in milliseconds, when the server set one.
    pub retry: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    #[error("one event is larger than {0} bytes (limit `upstream.max_event_bytes`)")]
    TooLarge(usize),
}

/// Turns chunks into events. Comments and unknown fields cost nothing; an event without end is refused at the limit.
#[derive(Debug)]
pub struct SseDecoder {
    buffer: BytesMut,
    /// How far `buffer` was searched for an end of line.
    searched: usize,
    event: SseEvent,
    data: Vec<Bytes>,
    size: usize,
    limit: usize,
    started: bool,
    /// The last line ended in CR: a LF that comes next belongs to it.
    after_cr: bool,
}

impl SseDecoder {
    /// `limit` is the largest event, in bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            event: SseEvent::default(),
            data: Vec::new(),
            size: 0,
            limit,
            started: false,
            after_cr: false,
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole event, `None` when more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
                continue;
            }
            self.field(&line);
        }
        Ok(None)
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, SseError> {
        if self.after_cr && !self.buffer.is_empty() {
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
            self.after_cr = false;
        }
        if !self.started {
            // Its first bytes may come one by one: nothing is searched before it is known whether they are the mark.
            if BYTE_ORDER_MARK.starts_with(&self.buffer) && self.buffer.len() < BYTE_ORDER_MARK.len() {
                return Ok(None);
            }
            if self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.advance(BYTE_ORDER_MARK.len());
            }
            self.started = true;
        }
        match memchr::memchr2(b'\n', b'\r', &self.buffer[self.searched..]) {
            Some(offset) => {
                let end = self.searched + offset;
                let mut line = self.buffer.split_to(end + 1);
                self.after_cr = line[end] == b'\r';
                line.truncate(end);
                self.searched = 0;
                self.size += line.len();
                self.within_limit()?;
                Ok(Some(line.freeze()))
            }
            None => {
                self.searched = self.buffer.len();
                if self.size + self.buffer.len() > self.limit {
                    return Err(SseError::TooLarge(self.limit));
                }
                Ok(None)
            }
        }
    }

    fn within_limit(&self) -> Result<(), SseError> {
        if self.size > self.limit { Err(SseError::TooLarge(self.limit)) } else { Ok(()) }
    }

    fn field(&mut self, line: &Bytes) {
        let colon = memchr::memchr(b':', line);
        let name = &line[..colon.unwrap_or(line.len())];
        let value = match colon {
            Some(at) if line.get(at + 1) == Some(&b' ') => line.slice(at + 2..),
            Some(at) => line.slice(at + 1..),
            None => Bytes::new(),
        };
        match name {
            b"data" => self.data.push(value),
            b"event" => self.event.event = String::from_utf8_lossy(&value).into_owned(),
            b"id" if !value.contains(&0) => {
                self.event.id = Some(String::from_utf8_lossy(&value).into_owned());
            }
            b"retry" => {
                self.event.retry = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            }
            // A comment is not part of the event: a stream of keep-alives must not add up.
            b"" => self.size -= line.len().min(self.size),
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        self.size = 0;
        let mut event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return (event.id.is_some() || event.retry.is_some()).then_some(event);
        }
        event.data = if data.len() == 1 { data.swap_remove(0) } else { data.join(&b'\n').into() };
        Some(event)
    }
}

/// Appends one event; `data` must hold no line break (JSON of ours never does).
pub fn write_event(out: &mut Vec<u8>, id: Option<&str>, data: &[u8]) {
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|&byte| byte == b'\n' || byte == b'\r') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(decoder: &mut SseDecoder) -> Vec<SseEvent> {
        std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
    }

    #[test]
    fn a_mark_in_pieces_and_one_that_comes_late() {
        for stream in [&b"\xef\xbb\xbfdata: a\n\n"[..], b"data: a\n\n", b"\r\n\ndata: a\n\n"] {
            let mut decoder = SseDecoder::new(1024);
            let mut events = Vec::new();
            for byte in stream {
                decoder.push(&[*byte]);
                events.extend(all(&mut decoder));
            }
            assert_eq!(events.iter().map(|event| &event.data[..]).collect::<Vec<_>>(), [b"a"], "{stream:?}");
        }
        let mut decoder = SseDecoder::new(1024);
        decoder.push(b"\n\n\xef\xbb\xbfdata: a\n\n");
        assert!(all(&mut decoder).is_empty(), "only at the beginning: here it is part of a name");
    }

    #[test]
    fn fields_line_ends_comments() {
        let mut decoder = SseDecoder::new(1024);
        decoder.push(b"\xef\xbb\xbf: hi\r\n\r\nevent: message\r\ndata: a\r\ndata:b\r\nid: 7\r\n\r\nretry: 10\ndata\n\n");
        let events = all(&mut decoder);
        assert_eq!(events.len(), 2);
        assert_eq!((&events[0].data[..], events[0].id.as_deref()), (&b"a\nb"[..], Some("7")));
        assert_eq!((&events[1].data[..], events[1].retry), (&b""[..], Some(10)));
    }

    #[test]
    fn an_endless_event_is_refused_and_endless_comments_are_not() {
        let mut decoder = SseDecoder::new(100);
        for _ in 0..1000 {
            decoder.push(b": keep-alive\n");
            assert_eq!(decoder.next_event(), Ok(None));
        }
        decoder.push(&[b'x'; 101]);
        assert_eq!(decoder.next_event(), Err(SseError::TooLarge(100)));
        let mut decoder = SseDecoder::new(100);
        for _ in 0..9 {
            decoder.push(b"data: 1234567\n");
        }
        assert_eq!(decoder.next_event(), Err(SseError::TooLarge(100)));
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(
            payloads in prop::collection::vec("[a-z{}\":, é]{0,40}", 1..6),
            ending in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            cut in 1usize..7,
        ) {
            let text: String = payloads.iter().map(|data| format!("data: {data}{ending}{ending}")).collect();
            let mut whole = SseDecoder::new(10_000);
            whole.push(text.as_bytes());
            let mut pieces = SseDecoder::new(10_000);
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(cut) {
                pieces.push(chunk);
                events.extend(all(&mut pieces));
            }
            let expected = all(&mut whole);
            prop_assert_eq!(&events, &expected);
            prop_assert_eq!(events.len(), payloads.len());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut decoder = SseDecoder::new(500);
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_event() {}
        }
    }
}
