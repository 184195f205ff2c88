//! WHATWG HTML §9.2.5 and §9.2.6 as they are written: a whole stream, decoded, cut into lines, read line by line.
//!
//! No chunks, no limits, no care for speed or memory: this is what the decoder is compared with, so it says the
//! standard's sentences in the standard's order, and shares nothing with the decoder. It is itself held by the vectors
//! (`tests/literal.rs`).

use crate::reading::{Item, Reading};

/// Reads all of a stream.
///
/// `earlier` is what the connection before left as last event id and as reconnection time. The text gives each stream
/// an empty id buffer; browsers go on with the last id, and the web platform tests want it so.
pub fn read(stream: &[u8], earlier: &Reading) -> Reading {
    let mut interpreter = Interpreter {
        data_buffer: String::new(),
        event_type_buffer: String::new(),
        last_event_id_buffer: earlier.last_event_id.clone(),
        read: Reading { items: Vec::new(), ..earlier.clone() },
    };
    for line in lines(&decode(stream)) {
        interpreter.line(line);
    }
    // "Once the end of the file is reached, any pending data must be discarded."
    interpreter.read
}

/// "Streams must be decoded using the UTF-8 decode algorithm", which "strips one leading UTF-8 Byte Order Mark (BOM),
/// if any".
fn decode(stream: &[u8]) -> String {
    let text = String::from_utf8_lossy(stream);
    text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
}

/// "Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a single U+000A
/// LINE FEED (LF) character, or a single U+000D CARRIAGE RETURN (CR) character."
///
/// In the grammar an end of line ends each line; what comes after the last is none, and is not among them.
pub fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\r', '\n']) {
        let (line, from_end) = rest.split_at(end);
        lines.push(line);
        rest = from_end.strip_prefix("\r\n").unwrap_or(&from_end[1..]);
    }
    lines
}

struct Interpreter {
    data_buffer: String,
    event_type_buffer: String,
    last_event_id_buffer: String,
    read: Reading,
}

impl Interpreter {
    /// "Lines must be processed, in the order they are received, as follows".
    fn line(&mut self, line: &str) {
        if line.is_empty() {
            // "If the line is empty (a blank line)": "Dispatch the event".
            self.dispatch();
        } else if let Some(comment) = line.strip_prefix(':') {
            // "If the line starts with a U+003A COLON character (:)": "Ignore the line". The decoder reports it.
            self.read.items.push(Item::Comment(comment.to_owned()));
        } else if let Some((field, value)) = line.split_once(':') {
            // "If value starts with a U+0020 SPACE character, remove it from value."
            self.field(field, value.strip_prefix(' ').unwrap_or(value));
        } else {
            // "using the whole line as the field name, and the empty string as the field value".
            self.field(line, "");
        }
    }

    /// "The steps to process the field". "Field names must be compared literally, with no case folding performed."
    fn field(&mut self, name: &str, value: &str) {
        match name {
            "event" => self.event_type_buffer = value.to_owned(),
            "data" => {
                self.data_buffer.push_str(value);
                self.data_buffer.push('\n');
            }
            // "If the field value does not contain U+0000 NULL"; "Otherwise, ignore the field."
            "id" if !value.contains('\0') => self.last_event_id_buffer = value.to_owned(),
            // "If the field value consists of only ASCII digits, then interpret the field value as an integer in base
            // ten". No digit is no integer; and one that is too large to hold is the largest.
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                let millis = value.parse().unwrap_or(u64::MAX);
                self.read.retry = Some(millis);
                self.read.items.push(Item::Retry(millis));
            }
            // "Otherwise": "The field is ignored."
            _ => {}
        }
    }

    /// The steps "to dispatch the event".
    fn dispatch(&mut self) {
        // 1. "Set the last event ID string of the event source to the value of the last event ID buffer. The buffer
        // does not get reset".
        self.read.last_event_id = self.last_event_id_buffer.clone();
        // 2. "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string
        // and return."
        if self.data_buffer.is_empty() {
            self.event_type_buffer.clear();
            return;
        }
        // 3. "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the last character".
        let data = self.data_buffer.strip_suffix('\n').unwrap_or(&self.data_buffer).to_owned();
        // 4. to 6. The event: of type `message`, or of "the value of the event type buffer" if that is not empty.
        let event_type = match &*self.event_type_buffer {
            "" => "message".to_owned(),
            name => name.to_owned(),
        };
        let last_event_id = self.read.last_event_id.clone();
        // 7. "Set the data buffer and the event type buffer to the empty string."
        self.data_buffer.clear();
        self.event_type_buffer.clear();
        // 8. It is dispatched.
        self.read.items.push(Item::Event { event_type, data, last_event_id });
    }
}
