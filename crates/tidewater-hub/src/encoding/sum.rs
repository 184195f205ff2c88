//! The check sum of a stream (CRC-32, RFC 1952 §8), from those of its pieces: a piece that a thousand clients get is summed
//! once, and put behind what each of them has had by one multiplication.
//!
//! A sum is the remainder of the bytes, taken as a polynomial over bits, by [`POLYNOMIAL`]. So the sum of two pieces is that
//! of the first times x to the number of bits in the second, plus that of the second; and x, which has an inverse there, takes
//! the second away again.

/// x³² = x²⁶ + x²³ + … + 1, the lowest power in the highest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;
/// 1, in the same order.
const ONE: u32 = 1 << 31;
/// The powers of x repeat after so many: the polynomial is primitive.
const ORDER: u64 = (1 << 32) - 1;

/// x to the powers 2⁰, 2¹, 2², …
const SQUARES: [u32; 32] = {
    let mut squares = [ONE >> 1; 32];
    let mut n = 1;
    while n < squares.len() {
        squares[n] = times(squares[n - 1], squares[n - 1]);
        n += 1;
    }
    squares
};

/// The sum of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    crc: u32,
    /// Modulo 2³².
    length: u32,
    /// What puts it behind another: x to the number of its bits. Of no use in a stream's own, where it stays as it is.
    shift: u32,
}

impl Sum {
    pub(super) fn new(crc: u32, length: usize) -> Self {
        Self { crc, length: length as u32, shift: power(bits(length)) }
    }

    pub(super) fn crc(self) -> u32 {
        self.crc
    }

    /// The number of bytes, modulo 2³².
    pub(super) fn length(self) -> u32 {
        self.length
    }

    /// The sum of both.
    pub(super) fn then(self, next: &Self) -> Self {
        let crc = times(next.shift, self.crc) ^ next.crc;
        Self { crc, length: self.length.wrapping_add(next.length), shift: self.shift }
    }

    /// The sum before the last piece.
    pub(super) fn without(self, last: &Self) -> Self {
        let back = power(ORDER - bits(last.length as usize));
        let crc = times(back, self.crc ^ last.crc);
        Self { crc, length: self.length.wrapping_sub(last.length), shift: self.shift }
    }
}

/// Of no bytes.
impl Default for Sum {
    fn default() -> Self {
        Self { crc: 0, length: 0, shift: ONE }
    }
}

fn bits(length: usize) -> u64 {
    length as u64 % ORDER * 8 % ORDER
}

/// x to this power, which is below [`ORDER`] or equal to it.
fn power(exponent: u64) -> u32 {
    let squares = SQUARES.iter().enumerate();
    squares.filter(|(n, _)| exponent >> n & 1 == 1).fold(ONE, |product, (_, square)| times(product, *square))
}

/// The product of two remainders. One time through for each bit, without a branch: about as long as a function call of the
/// kernel takes to begin.
const fn times(one: u32, mut other: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        product ^= other & 0u32.wrapping_sub(one >> bit & 1);
        other = (other >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(other & 1));
    }
    product
}

#[cfg(test)]
mod tests {
    use flate2::Crc;
    use proptest::prelude::*;

    use super::*;

    fn sum(bytes: &[u8]) -> Sum {
        let mut crc = Crc::new();
        crc.update(bytes);
        Sum::new(crc.sum(), bytes.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sums_are_put_together_and_taken_apart(
            one in prop::collection::vec(any::<u8>(), 0..600),
            other in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let (first, second, whole) = (sum(&one), sum(&other), sum(&[one, other].concat()));
            let both = Sum::default().then(&first).then(&second);
            prop_assert_eq!((both.crc(), both.length()), (whole.crc(), whole.length()));
            let before = both.without(&second);
            prop_assert_eq!((before.crc(), before.length()), (first.crc(), first.length()));
            prop_assert_eq!(before.without(&first), Sum::default());
        }
    }

    #[test]
    fn the_powers_come_round() {
        assert_eq!(power(0), ONE);
        assert_eq!(power(ORDER), ONE);
        assert_eq!(times(power(5), power(ORDER - 5)), ONE);
        assert_eq!(sum(b"123456789").crc(), 0xcbf4_3926);
    }
}
