//! Events as applications have them: JSON of some 256 bytes, of which a part is the same in all, a part comes from a few
//! words, and a part is numbers that nobody can guess.

const STATES: [&str; 5] = ["created", "paid", "packed", "shipped", "delivered"];
const CITIES: [&str; 8] = ["Lisbon", "Gdańsk", "Lyon", "Turin", "Aarhus", "Ghent", "Košice", "Graz"];
const GOODS: [&str; 8] =
    ["kettle", "lamp", "desk chair", "rain coat", "bicycle pump", "notebook", "tea, green", "shelf"];

/// The data of an event. `number` stands first in it.
pub(crate) fn order(number: u64) -> String {
    let mut seed = number;
    let mut next = |below: u64| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) % below
    };
    let mut of = |words: &[&'static str]| words[next(words.len() as u64) as usize];
    let (state, city, good) = (of(&STATES), of(&CITIES), of(&GOODS));
    format!(
        "{{\"order\":{number},\"state\":\"{state}\",\"customer\":{{\"id\":\"c-{:08x}\",\"city\":\"{city}\"}},\"items\":[{{\"name\":\"{good}\",\"sku\":\"{:06x}\",\"quantity\":{}}}],\"total\":{}.{:02},\"currency\":\"EUR\",\"trace\":\"{:016x}\",\"updated_at\":\"2026-03-14T09:{:02}:{:02}.{:03}Z\"}}",
        next(1 << 32),
        next(1 << 24),
        next(9) + 1,
        next(900) + 5,
        next(100),
        next(u64::MAX),
        number / 6000 % 60,
        number / 100 % 60,
        next(1000),
    )
}

/// The number of an event's data.
pub(crate) fn number(data: &str) -> Option<u64> {
    data.strip_prefix("{\"order\":")?.split(',').next()?.parse().ok()
}
