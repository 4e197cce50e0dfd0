//! Codec 3: patched bit-packing of integers.
//!
//! The numbers are turned into residuals (see `Mode`), the smallest wanted residual is taken
//! off, the rest is divided by its greatest common divisor and packed at one width; the few that
//! do not fit are exceptions, whose upper bits follow. Arithmetic wraps throughout.

use super::bits::{self, Line, Unpacked};
use super::varint::{self, Cursor};
use super::{BLOCK_POINTS_MAX, Malformed};

/// What a residual is. `v` are the numbers, `v[0]` is the seed and is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `v[i] - v[0]`
    Value = 0,
    /// `v[i] - v[i-1]`
    Delta = 1,
    /// `(v[i] - v[i-1]) - (v[i-1] - v[i-2])`, from the third number on; `slope` is `v[1] - v[0]`
    DeltaOfDelta = 2,
    /// `v[i] - v[0] - i * slope`
    Line = 3,
}

const MODES: [Mode; 4] = [Mode::Value, Mode::Delta, Mode::DeltaOfDelta, Mode::Line];

/// The second byte's upper bit: a divisor follows.
const HAS_DIVISOR: u8 = 0x80;
/// The most exceptions that its lower bits can count.
const EXCEPTIONS_MAX: usize = 0x7f;

/// How a block will be packed.
struct Plan {
    mode: Mode,
    slope: i64,
    base: i64,
    divisor: u64,
    width: u8,
    size: usize,
}

/// Appends `values[1..]` packed, where that is shorter than `size_max` bytes.
///
/// Shape: 2..=[`BLOCK_POINTS_MAX`] values, the first of which is the seed of [`decode`].
/// Returns whether anything was appended.
pub fn encode(values: &[i64], size_max: usize, out: &mut Vec<u8>) -> bool {
    debug_assert!((2..=BLOCK_POINTS_MAX).contains(&values.len()));
    let mut residuals = [0i64; BLOCK_POINTS_MAX];
    let mut best: Option<Plan> = None;
    for mode in MODES {
        let (slope, count) = residuals_of(values, mode, &mut residuals);
        let limit = best.as_ref().map_or(size_max, |plan| plan.size);
        if let Some(plan) = plan(mode, slope, &mut residuals[..count], limit) {
            best = Some(plan);
        }
    }
    let Some(plan) = best else { return false };
    let start = out.len();
    let (_, count) = residuals_of(values, plan.mode, &mut residuals);
    write(&plan, &residuals[..count], out);
    if out.len() - start < size_max {
        true
    } else {
        out.truncate(start);
        false
    }
}

/// Fills `out` with the residuals of `values`; returns the slope and how many there are.
fn residuals_of(values: &[i64], mode: Mode, out: &mut [i64; BLOCK_POINTS_MAX]) -> (i64, usize) {
    let first = values[0];
    let rest = &values[1..];
    let steps = values.iter().zip(rest).map(|(a, b)| b.wrapping_sub(*a));
    match mode {
        Mode::Value => {
            for (out, value) in out.iter_mut().zip(rest) {
                *out = value.wrapping_sub(first);
            }
            (0, rest.len())
        }
        Mode::Delta => {
            for (out, step) in out.iter_mut().zip(steps) {
                *out = step;
            }
            (0, rest.len())
        }
        Mode::DeltaOfDelta => {
            let slope = rest[0].wrapping_sub(first);
            let mut before = slope;
            for (out, step) in out.iter_mut().zip(steps.skip(1)) {
                *out = step.wrapping_sub(before);
                before = step;
            }
            (slope, rest.len() - 1)
        }
        Mode::Line => {
            let span = rest[rest.len() - 1].wrapping_sub(first);
            let count = i64::try_from(rest.len()).expect("a block has at most 256 rows");
            let slope = span / count;
            let mut line = first;
            for (out, value) in out.iter_mut().zip(rest) {
                line = line.wrapping_add(slope);
                *out = value.wrapping_sub(line);
            }
            (slope, rest.len())
        }
    }
}

/// The cheapest width for `residuals` (sorted on return), if it promises fewer than `size_max`.
fn plan(mode: Mode, slope: i64, residuals: &mut [i64], size_max: usize) -> Option<Plan> {
    residuals.sort_unstable();
    let (Some(&low), Some(&high)) = (residuals.first(), residuals.last()) else {
        // Two values by delta of delta: the slope says it all.
        let size = 3 + varint::len(varint::zigzag(slope));
        return (size < size_max).then_some(Plan {
            mode,
            slope,
            base: 0,
            divisor: 1,
            width: 0,
            size,
        });
    };
    let span = high.wrapping_sub(low).cast_unsigned();
    if span >= 1 << 62 {
        return None;
    }
    let divisor = divisor_of(residuals, low);
    let full_width = width_of(span / divisor);
    let count = residuals.len();
    let header = |base: i64| {
        let slope_len = match mode {
            Mode::Value | Mode::Delta => 0,
            Mode::DeltaOfDelta | Mode::Line => varint::len(varint::zigzag(slope)),
        };
        let divisor_len = if divisor > 1 { varint::len(divisor) } else { 0 };
        2 + slope_len + varint::len(varint::zigzag(base)) + divisor_len
    };
    let mut best = Plan {
        mode,
        slope,
        base: low,
        divisor,
        width: full_width,
        size: header(low) + bits::packed_len(count, full_width),
    };
    for width in (0..full_width).rev() {
        let (base, covered) = best_window(residuals, divisor, width);
        let exceptions = count - covered;
        if exceptions > EXCEPTIONS_MAX.min(count / 3) {
            break;
        }
        let exception_len = 1 + (usize::from(full_width - width) + 1).div_ceil(7);
        let size = header(base) + bits::packed_len(count, width) + exceptions * exception_len;
        if size < best.size {
            best = Plan {
                base,
                width,
                size,
                ..best
            };
        }
    }
    (best.size < size_max).then_some(best)
}

/// The greatest common divisor of the distances from `low`; 1 where all are equal.
fn divisor_of(sorted: &[i64], low: i64) -> u64 {
    let mut divisor = 0u64;
    for residual in sorted {
        let mut distance = residual.wrapping_sub(low).cast_unsigned();
        if divisor != 0 {
            distance %= divisor;
        }
        // Euclid, where the distance is no multiple already.
        while distance != 0 {
            (divisor, distance) = (distance, if divisor == 0 { 0 } else { divisor % distance });
        }
        if divisor == 1 {
            return 1;
        }
    }
    divisor.max(1)
}

/// The start of the range of `2^width` multiples of `divisor` that holds the most, and how many.
fn best_window(sorted: &[i64], divisor: u64, width: u8) -> (i64, usize) {
    let reach = ((1u64 << width) - 1).saturating_mul(divisor);
    let mut best = (sorted[0], 0);
    let mut end = 0;
    for (start, &base) in sorted.iter().enumerate() {
        while end < sorted.len() && sorted[end].wrapping_sub(base).cast_unsigned() <= reach {
            end += 1;
        }
        if end - start > best.1 {
            best = (base, end - start);
        }
        if end == sorted.len() {
            break;
        }
    }
    best
}

fn width_of(value: u64) -> u8 {
    u8::try_from(64 - value.leading_zeros()).expect("a width is at most 64")
}

fn write(plan: &Plan, residuals: &[i64], out: &mut Vec<u8>) {
    let mut packed = [0u64; BLOCK_POINTS_MAX];
    let mut exceptions: Vec<(u8, i64)> = Vec::new();
    // Divisors are below 2^62, as spans are.
    let divisor = plan.divisor.cast_signed();
    for (index, (packed, residual)) in packed.iter_mut().zip(residuals).enumerate() {
        let quotient = residual.wrapping_sub(plan.base) / divisor;
        *packed = quotient.cast_unsigned();
        let upper = quotient >> plan.width;
        if upper != 0 {
            let index = u8::try_from(index).expect("a block has at most 255 residuals");
            exceptions.push((index, upper));
        }
    }
    let count = u8::try_from(exceptions.len()).expect("at most EXCEPTIONS_MAX by the plan");
    out.push(plan.mode as u8 | plan.width << 2);
    out.push(count | if plan.divisor > 1 { HAS_DIVISOR } else { 0 });
    if matches!(plan.mode, Mode::DeltaOfDelta | Mode::Line) {
        varint::put_signed(out, plan.slope);
    }
    varint::put_signed(out, plan.base);
    if plan.divisor > 1 {
        varint::put(out, plan.divisor);
    }
    bits::pack(&packed[..residuals.len()], plan.width, out);
    out.extend(exceptions.iter().map(|(index, _)| *index));
    for (_, upper) in exceptions {
        varint::put_signed(out, upper);
    }
}

/// Appends `count` numbers, `seed` first.
///
/// Shape: `count` in 2..=[`BLOCK_POINTS_MAX`].
///
/// # Errors
/// [`Malformed`] where the bytes end early, are too many, or contradict each other; `out` is as
/// it was.
pub fn decode(bytes: &[u8], seed: i64, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    if !(2..=BLOCK_POINTS_MAX).contains(&count) {
        return Err(Malformed("a packed block of an impossible count"));
    }
    let mut cursor = Cursor::new(bytes);
    let head = cursor.u8()?;
    let (mode, width) = (MODES[usize::from(head & 3)], head >> 2);
    let second = cursor.u8()?;
    let slope = match mode {
        Mode::Value | Mode::Delta => 0,
        Mode::DeltaOfDelta | Mode::Line => cursor.i64()?,
    };
    let base = cursor.i64()?;
    let divisor = if second & HAS_DIVISOR == 0 {
        1
    } else {
        cursor.u64()?
    };
    let stored = match mode {
        Mode::DeltaOfDelta => count - 2,
        _ => count - 1,
    };
    let start = out.len();
    out.extend_from_slice(&i64::ZEROS[..count]);
    let (first, numbers) = out[start..].split_at_mut(count - stored);
    first.fill(seed);
    let block = Residuals {
        width,
        exceptions: usize::from(second & !HAS_DIVISOR),
        line: Line {
            factor: divisor,
            base: base.cast_unsigned(),
        },
    };
    // Steps of which each stands where it belongs are added up as they are read.
    let sums_of = (mode == Mode::Delta && block.exceptions == 0).then_some(seed);
    if let Err(malformed) = block.read(cursor, sums_of, numbers) {
        out.truncate(start);
        return Err(malformed);
    }
    if sums_of.is_none() {
        rebuild(mode, slope, &mut out[start..]);
    }
    Ok(())
}

/// How residuals are written.
struct Residuals {
    width: u8,
    exceptions: usize,
    line: Line,
}

impl Residuals {
    /// Fills `numbers` with the residuals, or with a number and the sums of it and of them.
    fn read(
        &self,
        mut cursor: Cursor<'_>,
        sums_of: Option<i64>,
        numbers: &mut [i64],
    ) -> Result<(), Malformed> {
        let Self { width, line, .. } = *self;
        // Given all that follows, so that the last numbers need no copy.
        let bytes = cursor.rest();
        match sums_of {
            Some(start) => bits::unpack_sums(bytes, width, line, start.cast_unsigned(), numbers)?,
            None => bits::unpack(bytes, width, line, numbers)?,
        }
        cursor.bytes(bits::packed_len(numbers.len(), width))?;
        let places = cursor.bytes(self.exceptions)?;
        for place in places {
            let upper = cursor.i64()? << width;
            let number = numbers
                .get_mut(usize::from(*place))
                .ok_or(Malformed("an exception beyond the block"))?;
            *number = number.wrapping_add(upper.wrapping_mul(line.factor.cast_signed()));
        }
        cursor.finish()
    }
}

/// Turns residuals back into numbers, in place. `out` starts with the seed, and so does what has no
/// residual.
fn rebuild(mode: Mode, slope: i64, out: &mut [i64]) {
    let (seed, numbers) = (out[0], &mut out[1..]);
    match mode {
        Mode::Value => {
            for number in numbers {
                *number = number.wrapping_add(seed);
            }
        }
        Mode::Delta => bits::add_up(seed.cast_unsigned(), numbers),
        Mode::DeltaOfDelta => {
            let mut step = slope;
            let mut value = seed.wrapping_add(slope);
            numbers[0] = value;
            for number in &mut numbers[1..] {
                step = step.wrapping_add(*number);
                value = value.wrapping_add(step);
                *number = value;
            }
        }
        Mode::Line => {
            let mut line = seed;
            for number in numbers {
                line = line.wrapping_add(slope);
                *number = number.wrapping_add(line);
            }
        }
    }
}
