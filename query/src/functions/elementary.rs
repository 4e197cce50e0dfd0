//! Sine, logarithm and the like with the digits that InfluxDB answers: those of Go's own package on a
//! PC. The platform's functions are as good, but differ in the last digit.
//!
//! Source: Go's package `math`, which took them of Cephes, FreeBSD and SLEEF.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LOG2_E, LOG10_E, PI};

use super::Number;

/// From here on π/4 in three parts is too coarse; the platform's functions answer.
const REDUCE_MAX: f64 = 536_870_912.0;

/// π/4 in three parts.
const PI_4: [f64; 3] = [
    7.853_981_256_484_985e-1,
    3.774_894_707_930_798e-8,
    2.695_151_429_079_059_5e-15,
];

const SIN: [f64; 6] = [
    1.589_623_015_765_465_6e-10,
    -2.505_074_776_285_780_7e-8,
    2.755_731_362_138_572_2e-6,
    -1.984_126_982_958_954e-4,
    8.333_333_333_322_118e-3,
    -1.666_666_666_666_663e-1,
];

const COS: [f64; 6] = [
    -1.135_853_652_138_768_2e-11,
    2.087_570_084_197_473e-9,
    -2.755_731_417_929_674e-7,
    2.480_158_728_885_170_4e-5,
    -1.388_888_888_887_305_6e-3,
    4.166_666_666_666_659_5e-2,
];

/// The value of a polynomial, the highest coefficient first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    let mut rest = coefficients.iter();
    let first = rest.next().copied().unwrap_or(0.0);
    rest.fold(first, |sum, coefficient| sum * x + coefficient)
}

/// The octant of an angle that is not negative, and what is left of it.
fn reduced(x: f64) -> (u64, f64) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is below REDUCE_MAX and not negative"
    )]
    let mut octant = (x * (4.0 / PI)) as u64;
    octant += octant & 1;
    let y = octant.float();
    let rest = ((x - y * PI_4[0]) - y * PI_4[1]) - y * PI_4[2];
    (octant, rest)
}

fn sine_of(z: f64) -> f64 {
    let zz = z * z;
    z + z * zz * polynomial(&SIN, zz)
}

fn cosine_of(z: f64) -> f64 {
    let zz = z * z;
    1.0 - 0.5 * zz + zz * zz * polynomial(&COS, zz)
}

fn signed(value: f64, is_negative: bool) -> f64 {
    if is_negative { -value } else { value }
}

pub(crate) fn sin(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() || x.abs() >= REDUCE_MAX {
        return x.sin();
    }
    let (octant, z) = reduced(x.abs());
    let octant = octant & 7;
    let value = match octant & 3 {
        1 | 2 => cosine_of(z),
        _ => sine_of(z),
    };
    signed(value, (x < 0.0) != (octant > 3))
}

pub(crate) fn cos(x: f64) -> f64 {
    if !x.is_finite() || x.abs() >= REDUCE_MAX {
        return x.cos();
    }
    let (octant, z) = reduced(x.abs());
    let octant = octant & 7;
    let value = match octant & 3 {
        1 | 2 => sine_of(z),
        _ => cosine_of(z),
    };
    signed(value, (octant > 3) != (octant & 3 > 1))
}

pub(crate) fn tan(x: f64) -> f64 {
    const P: [f64; 3] = [
        -1.309_369_391_813_837_8e4,
        1.153_516_648_385_874_2e6,
        -1.795_652_519_764_848_8e7,
    ];
    const Q: [f64; 5] = [
        1.0,
        1.368_129_634_706_929_6e4,
        -1.320_892_344_402_109_7e6,
        2.500_838_018_233_579e7,
        -5.386_957_559_294_546_4e7,
    ];
    if x == 0.0 || !x.is_finite() || x.abs() >= REDUCE_MAX {
        return x.tan();
    }
    let (octant, z) = reduced(x.abs());
    let zz = z * z;
    let mut value = z;
    if zz > 1e-14 {
        value = z + z * (zz * polynomial(&P, zz) / polynomial(&Q, zz));
    }
    if octant & 2 == 2 {
        value = -1.0 / value;
    }
    signed(value, x < 0.0)
}

pub(crate) fn atan(x: f64) -> f64 {
    match x {
        x if x > 0.0 => atan_of_positive(x),
        x if x < 0.0 => -atan_of_positive(-x),
        x => x,
    }
}

fn atan_of_positive(x: f64) -> f64 {
    const MORE_BITS: f64 = 6.123_233_995_736_766e-17;
    const TAN_3_PI_8: f64 = 2.414_213_562_373_095;
    if x <= 0.66 {
        return atan_of_small(x);
    }
    if x > TAN_3_PI_8 {
        return FRAC_PI_2 - atan_of_small(1.0 / x) + MORE_BITS;
    }
    FRAC_PI_4 + atan_of_small((x - 1.0) / (x + 1.0)) + 0.5 * MORE_BITS
}

fn atan_of_small(x: f64) -> f64 {
    const P: [f64; 5] = [
        -8.750_608_600_031_904e-1,
        -1.615_753_718_733_365_2e1,
        -7.500_855_792_314_705e1,
        -1.228_866_684_490_136_1e2,
        -6.485_021_904_942_025e1,
    ];
    const Q: [f64; 6] = [
        1.0,
        2.485_846_490_142_306_2e1,
        1.650_270_098_316_988_6e2,
        4.328_810_604_912_902_7e2,
        4.853_903_996_359_137e2,
        1.945_506_571_482_614e2,
    ];
    let z = x * x;
    let z = z * polynomial(&P, z) / polynomial(&Q, z);
    x * z + x
}

pub(crate) fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let size = x.abs();
    if size.is_nan() || size > 1.0 {
        return f64::NAN;
    }
    let root = (1.0 - size * size).sqrt();
    let value = if size > 0.7 {
        FRAC_PI_2 - atan_of_positive(root / size)
    } else {
        atan_of_positive(size / root)
    };
    signed(value, x < 0.0)
}

pub(crate) fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

pub(crate) fn atan2(y: f64, x: f64) -> f64 {
    if y == 0.0 || x == 0.0 || !x.is_finite() || !y.is_finite() {
        // Multiples of π/4, which all agree on.
        return y.atan2(x);
    }
    let angle = atan(y / x);
    match (x < 0.0, angle <= 0.0) {
        (false, _) => angle,
        (true, true) => angle + PI,
        (true, false) => angle - PI,
    }
}

/// A number as a fraction of 0.5 and above, and a power of two.
fn fraction_and_exponent(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    let (x, less) = if x.is_subnormal() {
        (x * 4_503_599_627_370_496.0, 52)
    } else {
        (x, 0)
    };
    let bits = x.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0) - 1022 - less;
    let fraction = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    (fraction, exponent)
}

/// `fraction` times two to the power of `exponent`.
fn with_exponent(fraction: f64, exponent: i64) -> f64 {
    let mut value = fraction;
    let mut left = exponent.clamp(-4000, 4000);
    while left != 0 {
        // One step at a time stays exact until the last, which may round.
        let step = left.clamp(-1000, 1000);
        let power = i32::try_from(step).unwrap_or(0);
        value *= 2.0_f64.powi(power);
        left -= step;
    }
    value
}

pub(crate) fn ln(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const L: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    if x <= 0.0 || !x.is_finite() || x.is_subnormal() {
        return x.ln();
    }
    let (mut fraction, mut exponent) = fraction_and_exponent(x);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let f = fraction - 1.0;
    let k = f64::from(exponent);
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * polynomial(&[L[6], L[4], L[2], L[0]], s4);
    let even = s4 * polynomial(&[L[5], L[3], L[1]], s4);
    let half_square = 0.5 * f * f;
    k * LN_2_HIGH - ((half_square - (s * (half_square + (odd + even)) + k * LN_2_LOW)) - f)
}

pub(crate) fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

pub(crate) fn log2(x: f64) -> f64 {
    let (fraction, exponent) = fraction_and_exponent(x);
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    ln(fraction) * LOG2_E + f64::from(exponent)
}

pub(crate) fn exp(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN_2_LOW: f64 = 2.823_529_056_303_157_7e-13;
    const TAYLOR: [f64; 8] = [
        2.480_158_730_158_73e-5,
        1.984_126_984_126_984e-4,
        1.388_888_888_888_889e-3,
        8.333_333_333_333_333e-3,
        4.166_666_666_666_666_4e-2,
        1.666_666_666_666_666_6e-1,
        0.5,
        1.0,
    ];
    const OVERFLOW: f64 = 709.782_712_893_384;
    if !(-700.0..=OVERFLOW).contains(&x) {
        return x.exp();
    }
    let exponent = (x * LOG2_E).round_ties_even();
    let rest = (-exponent).mul_add(LN_2_HIGH, x);
    let rest = (-exponent).mul_add(LN_2_LOW, rest) * 0.0625;
    let mut terms = TAYLOR.iter();
    let first = terms.next().copied().unwrap_or(0.0);
    let sum = terms.fold(first, |sum: f64, term| sum.mul_add(rest, *term));
    let mut value = rest * sum;
    for _ in 0..3 {
        value *= value + 2.0;
    }
    value = value.mul_add(value + 2.0, 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "it is below 1100")]
    let exponent = exponent as i64;
    with_exponent(value, exponent)
}

pub(crate) fn pow(x: f64, y: f64) -> f64 {
    let is_plain = x != 0.0 && x != 1.0 && x.is_finite() && y.is_finite() && y != 0.0 && y != 1.0;
    if !is_plain || y.abs() >= 9.2e18 {
        return x.powf(y);
    }
    if y == 0.5 {
        return x.sqrt();
    }
    if y == -0.5 {
        return 1.0 / x.sqrt();
    }
    let (mut whole, mut part) = (y.abs().trunc(), y.abs().fract());
    if part != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    let mut value = 1.0;
    if part != 0.0 {
        if part > 0.5 {
            part -= 1.0;
            whole += 1.0;
        }
        value = exp(part * ln(x));
    }
    let mut exponent = 0_i64;
    let (mut square, mut square_exponent) = fraction_and_exponent(x);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is below 2^63 and not negative"
    )]
    let mut bits = whole as u64;
    while bits != 0 {
        if square_exponent.abs() > 1 << 12 {
            exponent += i64::from(square_exponent);
            break;
        }
        if bits & 1 == 1 {
            value *= square;
            exponent += i64::from(square_exponent);
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        value = 1.0 / value;
        exponent = -exponent;
    }
    with_exponent(value, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_platform_but_for_the_last_digits() {
        let same = |ours: f64, theirs: f64| {
            let close = (ours - theirs).abs() <= 1e-13 * theirs.abs().max(1.0);
            let is_same = ours == theirs || (ours.is_nan() && theirs.is_nan());
            assert!(close || is_same, "{ours} {theirs}");
        };
        for step in -400_i32..400 {
            let x = f64::from(step) * 0.37;
            same(sin(x), x.sin());
            same(cos(x), x.cos());
            same(
                tan(x) / (1.0 + x.tan().abs()),
                x.tan() / (1.0 + x.tan().abs()),
            );
            same(atan(x), x.atan());
            same(asin(x / 150.0), (x / 150.0).asin());
            same(acos(x / 150.0), (x / 150.0).acos());
            same(atan2(x, 2.0), x.atan2(2.0));
            same(atan2(2.0, x), 2.0_f64.atan2(x));
            same(ln(x), x.ln());
            same(log2(x.abs()), x.abs().log2());
            same(log10(x), x.log10());
            same(exp(x) / (1.0 + x.exp()), x.exp() / (1.0 + x.exp()));
            for y in [-2.5, -1.0, 0.5, 0.7, 3.0] {
                let size = 1.0 + x.powf(y).abs();
                same(pow(x, y) / size, x.powf(y) / size);
            }
        }
    }

    #[test]
    fn the_last_digits_are_gos() {
        assert_eq!(sin(2.0), 0.909_297_426_825_681_6);
        assert_eq!(tan(48.0), 1.200_127_243_116_286_4);
        assert_eq!(exp(48.0), 7.016_735_912_097_631e20);
        assert_eq!(ln(59.0), 4.077_537_443_905_72);
        assert_eq!(atan2(-12.0, 2.0), -1.405_647_649_380_269_6);
        assert_eq!(log2(8.0), 3.0);
        assert_eq!(pow(2.0, 10.0), 1024.0);
    }
}
