// An event's id, decoded: a cursor, which holds the next position in every partition of every topic.
// The form is that of tidewater-core's `cursor/text.rs`; here it is only shown, so little is checked.

/** The topics of an id: `{ tag, epoch, next: [offset of each partition] }`, or `{ tag, epoch, after }`; or null. */
export function decode(id) {
  try {
    const bytes = Uint8Array.from(atob(id.replaceAll("-", "+").replaceAll("_", "/")), char => char.charCodeAt(0));
    if (bytes[0] !== 1) return null;
    const reader = new Reader(bytes, 1);
    const topics = [];
    while (!reader.isEmpty) topics.push(reader.topic());
    return topics;
  } catch {
    return null;
  }
}

/** The places that one cursor has and the one before it had not: `[{ topic, partition, offset }]`, of what came last. */
export function moved(before, after) {
  const places = [];
  for (const topic of after ?? []) {
    const old = before?.find(other => other.tag === topic.tag && other.epoch === topic.epoch);
    for (const [partition, next] of (topic.next ?? []).entries()) {
      if (next > (old?.next?.[partition] ?? 0n)) places.push({ topic, partition, offset: next - 1n });
    }
  }
  return places;
}

/** The tag that stands for a topic: FNV-1a of 64 bits, folded to 32. */
export function tagOf(kind, topic) {
  let hash = 0xcbf29ce484222325n;
  const encoder = new TextEncoder();
  for (const part of [kind, topic]) {
    for (const byte of [...encoder.encode(part), 0xff]) {
      hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    }
  }
  return hex((hash >> 32n) ^ (hash & 0xffffffffn));
}

const hex = number => number.toString(16).padStart(8, "0");

class Reader {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  get isEmpty() { return this.at === this.bytes.length; }

  topic() {
    const [tag, epoch, head] = [this.four(), this.four(), Number(this.varint())];
    const count = head >> 1;
    if (head % 2 === 1) return { tag, epoch, after: new TextDecoder().decode(Uint8Array.from(this.take(count))) };
    if (count > this.bytes.length) throw new RangeError("cut short");
    return { tag, epoch, next: Array.from({ length: count }, () => this.varint()) };
  }

  four() {
    return hex(this.take(4).reduce((number, byte) => number * 256n + BigInt(byte), 0n));
  }

  varint() {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      const [byte] = this.take(1);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  take(count) {
    if (this.at + count > this.bytes.length) throw new RangeError("cut short");
    this.at += count;
    return [...this.bytes.subarray(this.at - count, this.at)];
  }
}
