use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use super::listener::{ResetSwitch, ResponseBody};

const CHUNK: usize = 64 * 1024;

/// What an answer's body holds. Large ones are produced while they are sent: the upstream itself never
/// holds them in memory.
///
/// Texts may use `{{ID}}` (the request's JSON-RPC id), `{{SELF}}` (this upstream's URL) and the script's
/// own variables.
#[derive(Debug, Clone)]
pub enum Body {
    Empty,
    Text(String),
    /// A correct answer whose text content is padded until the body has about this many bytes.
    PaddedResult {
        bytes: u64,
    },
    /// One SSE event with a correct answer of about this many bytes.
    SseOneEvent {
        bytes: u64,
    },
    /// Progress notifications as SSE events, then a correct answer.
    SseNotifications {
        count: u64,
    },
    /// `:` comments for ever, never an answer.
    SseCommentsForever {
        every: Duration,
    },
    /// SSE headers and then nothing, the stream stays open.
    SseSilence,
    /// A correct answer, so slowly that it never ends in time.
    Drip {
        bytes_per_second: u64,
        seconds: u64,
    },
    /// The beginning of a correct answer, then TCP RST.
    ResetAfter {
        bytes: usize,
    },
    /// Gzip that inflates to this many bytes of one JSON string (`content-encoding` is the script's).
    GzipBomb {
        inflated_bytes: u64,
    },
    /// A result with this many nested arrays.
    Nested {
        depth: usize,
    },
    /// `notifications/tools/list_changed` as SSE events, then a correct answer.
    ListChanged {
        per_second: u64,
        seconds: u64,
    },
}

/// What a body needs to know of the request it answers.
#[derive(Debug, Clone)]
pub(super) struct BodyContext {
    /// The request's id as JSON text.
    pub(super) id: String,
    pub(super) url: String,
    pub(super) variables: Vec<(String, String)>,
    pub(super) reset: ResetSwitch,
}

impl BodyContext {
    pub(super) fn fill(&self, template: &str) -> String {
        let mut text = template.to_owned();
        if self.id.starts_with('"') {
            // "the id as a string" must stay a change of type when the id already is a string
            text = text.replace("\"{{ID}}\"", "1");
        }
        text = text.replace("{{ID}}", &self.id).replace("{{SELF}}", &self.url);
        for (name, value) in &self.variables {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        text
    }

    fn result_opening(&self) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"complete","content":[{{"type":"text","text":""#,
            self.id
        )
    }

    fn result(&self) -> String {
        format!("{}ok{RESULT_CLOSING}", self.result_opening())
    }
}

const RESULT_CLOSING: &str = r#""}]}}"#;

impl Body {
    pub(super) fn into_response_body(self, context: BodyContext) -> ResponseBody {
        match self {
            Self::Empty => full(String::new()),
            Self::Text(template) => full(context.fill(&template)),
            Self::PaddedResult { bytes } => {
                padded(context.result_opening(), bytes, RESULT_CLOSING.to_owned())
            }
            Self::SseOneEvent { bytes } => {
                padded(format!("data: {}", context.result_opening()), bytes, format!("{RESULT_CLOSING}\n\n"))
            }
            Self::SseNotifications { count } => notifications(count, &context),
            Self::SseCommentsForever { every } => {
                streamed(paced(every).map(|()| Bytes::from_static(b": still here\n\n")))
            }
            Self::SseSilence => streamed(stream::pending()),
            Self::Drip { bytes_per_second, seconds } => drip(bytes_per_second, seconds, &context),
            Self::ResetAfter { bytes } => reset_after(bytes, &context),
            Self::GzipBomb { inflated_bytes } => gzip_bomb(inflated_bytes),
            Self::Nested { depth } => nested(depth, &context),
            Self::ListChanged { per_second, seconds } => list_changed(per_second, seconds, &context),
        }
    }
}

fn full(text: String) -> ResponseBody {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn streamed(chunks: impl Stream<Item = Bytes> + Send + 'static) -> ResponseBody {
    StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
}

fn paced(every: Duration) -> impl Stream<Item = ()> + Send {
    stream::unfold((), move |()| async move {
        tokio::time::sleep(every).await;
        Some(((), ()))
    })
}

fn once(text: String) -> impl Stream<Item = Bytes> + Send {
    stream::once(std::future::ready(Bytes::from(text)))
}

fn padded(opening: String, bytes: u64, closing: String) -> ResponseBody {
    let padding = bytes.saturating_sub((opening.len() + closing.len()) as u64);
    let chunk = Bytes::from(vec![b'a'; CHUNK]);
    let whole = padding / CHUNK as u64;
    let rest = chunk.slice(..(padding % CHUNK as u64) as usize);
    let middle =
        stream::unfold(whole, move |left| std::future::ready((left > 0).then(|| (chunk.clone(), left - 1))));
    streamed(once(opening).chain(middle).chain(stream::once(std::future::ready(rest))).chain(once(closing)))
}

fn notifications(count: u64, context: &BodyContext) -> ResponseBody {
    const PER_CHUNK: u64 = 500;
    let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"none\",\"progress\":1}}\n\n";
    let chunk = Bytes::from(event.repeat(PER_CHUNK as usize));
    let last = Bytes::from(event.repeat((count % PER_CHUNK) as usize));
    let middle = stream::unfold(count / PER_CHUNK, move |left| {
        std::future::ready((left > 0).then(|| (chunk.clone(), left - 1)))
    });
    let answer = format!("data: {}\n\n", context.result());
    streamed(middle.chain(stream::once(std::future::ready(last))).chain(once(answer)))
}

fn drip(bytes_per_second: u64, seconds: u64, context: &BodyContext) -> ResponseBody {
    let text = format!("{}{}", context.result_opening(), "a".repeat((bytes_per_second * seconds) as usize));
    let size = bytes_per_second.max(1) as usize;
    let text = Bytes::from(text);
    streamed(stream::unfold((text, seconds), move |(mut text, left)| async move {
        if left == 0 || text.is_empty() {
            return None;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let piece = text.split_to(size.min(text.len()));
        Some((piece, (text, left - 1)))
    }))
}

fn reset_after(bytes: usize, context: &BodyContext) -> ResponseBody {
    let mut text = context.result_opening();
    text.extend(std::iter::repeat_n('a', bytes.saturating_sub(text.len())));
    text.truncate(bytes);
    let switch = context.reset.clone();
    let reset = stream::once(async move {
        // The bytes before must have left, or the peer sees only the reset.
        tokio::time::sleep(Duration::from_millis(20)).await;
        switch.reset();
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    StreamBody::new(once(text).map(|chunk| Ok(Frame::data(chunk))).chain(reset)).boxed_unsync()
}

/// A gzip member (RFC 1952) of one hand-written DEFLATE block (RFC 1951, 3.2.6): a `"`, an `a` and then
/// copies of 258 bytes at distance 1. A copy takes thirteen bits, so the block inflates 158 times.
fn gzip_bomb(inflated_bytes: u64) -> ResponseBody {
    const COPIES: u64 = 8 * 1024;
    const COPY: u64 = 258;
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut bits = BitWriter::default();
    bits.fixed_block_header();
    bits.literal(b'"');
    bits.literal(b'a');
    // Eight copies fill thirteen whole bytes: from a byte boundary on, one chunk can be sent again and again.
    while !bits.aligned() {
        bits.copy_258_at_distance_1();
    }
    let opening: Vec<u8> = header.iter().copied().chain(bits.finish()).collect();
    let mut copies = BitWriter::default();
    for _ in 0..COPIES {
        copies.copy_258_at_distance_1();
    }
    let chunk = Bytes::from(copies.finish());
    let rounds = inflated_bytes.div_ceil(COPIES * COPY);
    let middle =
        stream::unfold(rounds, move |left| std::future::ready((left > 0).then(|| (chunk.clone(), left - 1))));
    streamed(stream::once(std::future::ready(Bytes::from(opening))).chain(middle))
}

/// DEFLATE writes its numbers from the lowest bit and its Huffman codes from the highest.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u8,
}

impl BitWriter {
    fn bit(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    fn code(&mut self, code: u16, length: u8) {
        for position in (0..length).rev() {
            self.bit(code >> position & 1 == 1);
        }
    }

    /// BFINAL 0, BTYPE 01: the stream never says that it ends.
    fn fixed_block_header(&mut self) {
        self.bit(false);
        self.bit(true);
        self.bit(false);
    }

    /// Literals 0..=143 have the eight-bit codes from 0011 0000 on.
    fn literal(&mut self, byte: u8) {
        self.code(0x30 + u16::from(byte), 8);
    }

    /// Length 258 is symbol 285 (code 1100 0101), distance 1 is symbol 0 of five bits.
    fn copy_258_at_distance_1(&mut self) {
        self.code(0xc5, 8);
        self.code(0, 5);
    }

    fn aligned(&self) -> bool {
        self.used == 0
    }

    fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn nested(depth: usize, context: &BodyContext) -> ResponseBody {
    let mut text = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"complete","content":[],"structuredContent":"#,
        context.id
    );
    text.extend(std::iter::repeat_n('[', depth));
    text.extend(std::iter::repeat_n(']', depth));
    text.push_str("}}");
    full(text)
}

fn list_changed(per_second: u64, seconds: u64, context: &BodyContext) -> ResponseBody {
    const BURSTS_PER_SECOND: u64 = 20;
    let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
    let burst = Bytes::from(event.repeat((per_second / BURSTS_PER_SECOND).max(1) as usize));
    let bursts = paced(Duration::from_millis(1000 / BURSTS_PER_SECOND))
        .take((seconds * BURSTS_PER_SECOND) as usize)
        .map(move |()| burst.clone());
    streamed(bursts.chain(once(format!("data: {}\n\n", context.result()))))
}
