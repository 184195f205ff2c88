//! One message to Kafka, at once and with nothing in between: a Produce request (version 3) that wants no answer. kcat
//! would hand on a line when it has read a thousand bytes more.

/// A request that appends one message to partition 0 of a topic.
pub(crate) fn produce(topic: &str, value: &[u8]) -> Vec<u8> {
    let batch = batch(value);
    let mut request = Vec::new();
    // Produce, version 3, correlation id 0, the client's name.
    request.extend([0, 0, 0, 3, 0, 0, 0, 0]);
    string(&mut request, "bench");
    // No transaction; no acknowledgement; 10 s; one topic; one partition, 0.
    request.extend((-1_i16).to_be_bytes());
    request.extend(0_i16.to_be_bytes());
    request.extend(10_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    string(&mut request, topic);
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    sized(&mut request, &batch);
    let mut framed = Vec::new();
    sized(&mut framed, &request);
    framed
}

/// A record batch (magic 2) of one record.
fn batch(value: &[u8]) -> Vec<u8> {
    let mut record = vec![0];
    // Neither time nor offset differ from the batch's; no key; no headers behind the value.
    for number in [0, 0, -1, value.len() as i64] {
        varint(&mut record, number);
    }
    record.extend(value);
    varint(&mut record, 0);

    let mut rest = Vec::new();
    rest.extend(0_i16.to_be_bytes());
    rest.extend(0_i32.to_be_bytes());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as i64;
    rest.extend(now.to_be_bytes());
    rest.extend(now.to_be_bytes());
    // No producer, no epoch, no sequence.
    rest.extend([0xff; 14]);
    rest.extend(1_i32.to_be_bytes());
    varint(&mut rest, record.len() as i64);
    rest.extend(record);

    let mut batch = Vec::new();
    batch.extend(0_i64.to_be_bytes());
    // What comes after the length: the leader's epoch, the magic, the checksum, the rest.
    batch.extend((rest.len() as i32 + 9).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&rest).to_be_bytes());
    batch.extend(rest);
    batch
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend(bytes);
}

/// Zigzag, seven bits a byte.
fn varint(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)) as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// Castagnoli's, bit by bit: messages are short and few.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn numbers_are_zigzag() {
        let mut out = Vec::new();
        [0, -1, 1, 256].iter().for_each(|number| varint(&mut out, *number));
        assert_eq!(out, [0, 1, 2, 0x80, 4]);
    }
}
