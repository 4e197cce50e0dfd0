//! Functions of technical analysis: each sees all points before the one that it answers for.
//!
//! Source: `query/internal/gota` of InfluxDB 1.12; the order of operations is its own, so that the
//! last digit is, too.

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indicator {
    /// `exponential_moving_average`
    Exponential,
    /// `double_exponential_moving_average`
    Double,
    /// `triple_exponential_moving_average`
    Triple,
    /// `relative_strength_index`
    Strength,
    /// `triple_exponential_derivative`
    Derivative,
    /// `kaufmans_efficiency_ratio`
    Efficiency,
    /// `kaufmans_adaptive_moving_average`
    Adaptive,
    /// `chande_momentum_oscillator`
    Momentum,
}

/// How an average starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warmup {
    /// With a smaller weight for what came before.
    Exponential,
    /// With the plain mean.
    Simple,
    /// Not smoothed at all: only of the momentum.
    None,
}

/// A function with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Technical {
    /// Which one.
    pub(crate) indicator: Indicator,
    /// Points that count; at least 1, of an unsmoothed momentum at least 2.
    pub(crate) period: u32,
    /// Points that are left out at the start; none is what the function needs to warm up.
    pub(crate) hold: Option<u32>,
    /// How it starts.
    pub(crate) warmup: Warmup,
}

impl Indicator {
    /// The function of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "exponential_moving_average" => Self::Exponential,
            "double_exponential_moving_average" => Self::Double,
            "triple_exponential_moving_average" => Self::Triple,
            "relative_strength_index" => Self::Strength,
            "triple_exponential_derivative" => Self::Derivative,
            "kaufmans_efficiency_ratio" => Self::Efficiency,
            "kaufmans_adaptive_moving_average" => Self::Adaptive,
            "chande_momentum_oscillator" => Self::Momentum,
            _ => return None,
        })
    }

    /// How it starts where the statement does not say.
    pub(crate) fn default_warmup(self) -> Warmup {
        match self {
            Self::Momentum => Warmup::None,
            _ => Warmup::Exponential,
        }
    }

    /// Whether an infinite result is no row.
    fn leaves_out_infinity(self) -> bool {
        matches!(self, Self::Derivative | Self::Efficiency | Self::Adaptive)
    }
}

/// Times and values of the results over points in the query's direction.
pub(crate) fn apply(
    technical: Technical,
    times: &[i64],
    values: impl Iterator<Item = f64>,
) -> (Vec<i64>, Vec<f64>) {
    let mut running = Running::new(technical);
    let hold = u64::from(technical.hold.unwrap_or_else(|| running.warm_count()));
    let mut results = (Vec::new(), Vec::new());
    for ((time, value), number) in times.iter().zip(values).zip(1_u64..) {
        let result = running.add(value);
        let is_left_out = technical.indicator.leaves_out_infinity() && result.is_infinite();
        if number > hold && !is_left_out {
            results.0.push(*time);
            results.1.push(result);
        }
    }
    results
}

/// A function on its way through the points.
enum Running {
    Averages(Averages),
    Strength(Changes),
    Efficiency(Efficiency),
    Adaptive(Efficiency, f64),
    Smoothed(Changes),
    Momentum(Momentum),
}

impl Running {
    fn new(technical: Technical) -> Self {
        let Technical { period, warmup, .. } = technical;
        let averages = |kind| Self::Averages(Averages::new(kind, period, warmup));
        match technical.indicator {
            Indicator::Exponential => averages(Combination::One),
            Indicator::Double => averages(Combination::Double),
            Indicator::Triple => averages(Combination::Triple),
            Indicator::Derivative => averages(Combination::Derivative),
            Indicator::Strength => Self::Strength(Changes::new(period, warmup)),
            Indicator::Efficiency => Self::Efficiency(Efficiency::new(period)),
            Indicator::Adaptive => Self::Adaptive(Efficiency::new(period), 0.0),
            Indicator::Momentum if warmup == Warmup::None => Self::Momentum(Momentum::new(period)),
            Indicator::Momentum => Self::Smoothed(Changes::new(period, warmup)),
        }
    }

    /// Points until the result means something.
    fn warm_count(&self) -> u32 {
        match self {
            Self::Averages(averages) => averages.warm_count(),
            Self::Strength(changes) | Self::Smoothed(changes) => changes.up.period - 1,
            Self::Efficiency(ratio) | Self::Adaptive(ratio, _) => ratio.period(),
            Self::Momentum(momentum) => momentum.len(),
        }
    }

    fn add(&mut self, value: f64) -> f64 {
        match self {
            Self::Averages(averages) => averages.add(value),
            Self::Strength(changes) => {
                changes.add(value);
                100.0 - (100.0 / (1.0 + changes.up.last / changes.down.last))
            }
            Self::Smoothed(changes) => {
                changes.add(value);
                let (up, down) = (changes.up.last, changes.down.last);
                100.0 * ((up - down) / (up + down))
            }
            Self::Efficiency(ratio) => ratio.add(value),
            Self::Adaptive(ratio, last) => {
                if !ratio.is_warm() {
                    *last = ratio.points[ratio.newest].0;
                }
                let weight = ratio.add(value) * (FAST - SLOW) + SLOW;
                *last += weight * weight * (value - *last);
                *last
            }
            Self::Momentum(momentum) => momentum.add(value),
        }
    }
}

/// The weights of the adaptive average: of a period of 2 and of one of 30.
const FAST: f64 = 2.0 / (2.0 + 1.0);
const SLOW: f64 = 2.0 / (30.0 + 1.0);

/// An exponential moving average.
#[derive(Clone, Copy)]
struct Average {
    period: u32,
    last: f64,
    count: u32,
    alpha: f64,
    warmup: Warmup,
}

impl Average {
    fn new(period: u32, warmup: Warmup) -> Self {
        Self {
            period,
            last: 0.0,
            count: 0,
            alpha: 2.0 / (f64::from(period) + 1.0),
            warmup,
        }
    }

    fn is_warm(&self) -> bool {
        self.count == self.period
    }

    /// Whether the average behind it may take its values.
    fn feeds(&self) -> bool {
        self.is_warm() || self.warmup == Warmup::Exponential
    }

    fn add(&mut self, value: f64) -> f64 {
        let count = f64::from(self.count);
        self.last = if self.count == 0 {
            value
        } else if self.is_warm() {
            (value - self.last) * self.alpha + self.last
        } else if self.warmup == Warmup::Simple {
            (self.last * count + value) / (count + 1.0)
        } else {
            (value - self.last) * (2.0 / (count + 2.0)) + self.last
        };
        if !self.is_warm() {
            self.count += 1;
        }
        self.last
    }
}

/// What is made of one average, the average of it, and the average of that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Combination {
    One,
    Double,
    Triple,
    Derivative,
}

struct Averages {
    combination: Combination,
    chain: [Average; 3],
    last: f64,
}

impl Averages {
    fn new(combination: Combination, period: u32, warmup: Warmup) -> Self {
        Self {
            combination,
            chain: [Average::new(period, warmup); 3],
            last: 0.0,
        }
    }

    fn warm_count(&self) -> u32 {
        let one = self.chain[0].period - 1;
        let is_exponential = self.chain[0].warmup == Warmup::Exponential;
        match self.combination {
            Combination::Derivative if is_exponential => one + 1,
            Combination::Derivative => one.saturating_mul(3).saturating_add(1),
            Combination::Double if !is_exponential => one.saturating_mul(2),
            Combination::Triple if !is_exponential => one.saturating_mul(3),
            _ => one,
        }
    }

    fn add(&mut self, value: f64) -> f64 {
        let [one, two, three] = &mut self.chain;
        let first = one.add(value);
        if self.combination == Combination::One {
            return first;
        }
        let second = if one.feeds() { two.add(first) } else { first };
        if self.combination == Combination::Double {
            return 2.0 * first - second;
        }
        // Where the first does not feed the second, that is not warm either.
        let third = if two.feeds() {
            three.add(second)
        } else {
            second
        };
        if self.combination == Combination::Triple {
            return 3.0 * first - 3.0 * second + third;
        }
        let rate = ((third / self.last) - 1.0) * 100.0;
        self.last = third;
        rate
    }
}

/// Averages of what rises and of what falls.
struct Changes {
    up: Average,
    down: Average,
    last: f64,
}

impl Changes {
    fn new(period: u32, warmup: Warmup) -> Self {
        let average = Average {
            alpha: 1.0 / f64::from(period),
            ..Average::new(period.saturating_add(1), warmup)
        };
        Self {
            up: average,
            down: average,
            last: 0.0,
        }
    }

    fn add(&mut self, value: f64) {
        let (mut up, mut down) = (0.0, 0.0);
        if value > self.last {
            up = value - self.last;
        } else if value < self.last {
            down = self.last - value;
        }
        self.up.add(up);
        self.down.add(down);
        self.last = value;
    }
}

/// How straight the way was: the change over a period by the sum of its steps.
struct Efficiency {
    /// Values and steps, in a ring.
    points: Vec<(f64, f64)>,
    noise: f64,
    count: usize,
    newest: usize,
}

impl Efficiency {
    fn new(period: u32) -> Self {
        Self {
            points: vec![(0.0, 0.0); usize::try_from(period.max(1)).unwrap_or(1)],
            noise: 0.0,
            count: 0,
            newest: 0,
        }
    }

    fn period(&self) -> u32 {
        u32::try_from(self.points.len()).unwrap_or(u32::MAX)
    }

    fn is_warm(&self) -> bool {
        self.count == self.points.len() + 1
    }

    fn add(&mut self, value: f64) -> f64 {
        let oldest = (self.newest + 1) % self.points.len();
        let signal = (value - self.points[oldest].0).abs();
        let step = (value - self.points[self.newest].0).abs();
        self.noise -= self.points[oldest].1;
        self.noise += step;
        self.newest = oldest;
        self.points[oldest] = (value, step);
        if !self.is_warm() {
            self.count += 1;
        }
        if signal == 0.0 || self.noise == 0.0 {
            return 0.0;
        }
        signal / self.noise
    }
}

/// Rises less falls by their sum, over a period.
struct Momentum {
    /// Values and steps, in a ring.
    points: Vec<(f64, f64)>,
    up: f64,
    down: f64,
    is_first: bool,
    newest: usize,
}

impl Momentum {
    fn new(period: u32) -> Self {
        let len = usize::try_from(period.saturating_sub(1).max(1)).unwrap_or(1);
        Self {
            points: vec![(0.0, 0.0); len],
            up: 0.0,
            down: 0.0,
            is_first: true,
            newest: 0,
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.points.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, value: f64) -> f64 {
        let oldest = (self.newest + 1) % self.points.len();
        let mut step = 0.0;
        if !self.is_first {
            step = value - self.points[self.newest].0;
            if step > 0.0 {
                self.up += step;
            } else if step < 0.0 {
                self.down -= step;
            }
        }
        self.is_first = false;
        let result = if self.up != 0.0 || self.down != 0.0 {
            100.0 * ((self.up - self.down) / (self.up + self.down))
        } else {
            0.0
        };
        let leaving = self.points[oldest].1;
        if leaving > 0.0 {
            self.up -= leaving;
        } else if leaving < 0.0 {
            self.down += leaving;
        }
        self.points[oldest] = (value, step);
        self.newest = oldest;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f64; 10] = [3.0, 5.0, 4.0, 8.0, 8.0, 2.0, 7.0, 11.5, 6.0, 9.0];

    fn last_two(indicator: Indicator, warmup: Warmup) -> (usize, [f64; 2]) {
        let technical = Technical {
            indicator,
            period: 3,
            hold: None,
            warmup,
        };
        let times: Vec<i64> = (0..10).collect();
        let (times, values) = apply(technical, &times, VALUES.into_iter());
        assert_eq!(times.last(), Some(&9));
        (
            10 - times.len(),
            [values[values.len() - 2], values[values.len() - 1]],
        )
    }

    /// The answers of InfluxDB 1.12's own package over the same values: points that are held back,
    /// and the last two results, to the last digit.
    #[test]
    fn every_function_answers_as_influxdb_to_the_last_digit() {
        use Indicator::{
            Adaptive, Derivative, Double, Efficiency, Exponential, Momentum, Strength, Triple,
        };
        #[rustfmt::skip]
        let table = [
            (Exponential, Warmup::Exponential, 2, [7.315_104_166_666_666, 8.157_552_083_333_332]),
            (Double, Warmup::Exponential, 2, [7.434_461_805_555_555, 8.638_454_861_111_11]),
            (Triple, Warmup::Exponential, 2, [7.073_206_018_518_523, 8.638_599_537_037_035]),
            (Strength, Warmup::Exponential, 3, [45.322_624_806_060_05, 58.971_373_784_413_09]),
            (Derivative, Warmup::Exponential, 3, [7.708_908_639_454_215, 7.159_323_494_559_944]),
            (Momentum, Warmup::Exponential, 3, [-9.354_750_387_879_9, 17.942_747_568_826_18]),
            (Exponential, Warmup::Simple, 2, [7.312_5, 8.156_25]),
            (Double, Warmup::Simple, 4, [7.458_333_333_333_333, 8.651_041_666_666_666]),
            (Triple, Warmup::Simple, 6, [7.123_263_888_888_889, 8.657_986_111_111_11]),
            (Strength, Warmup::Simple, 3, [45.308_924_485_125_86, 58.991_077_556_623_2]),
            (Derivative, Warmup::Simple, 7, [7.750_419_697_817_579, 7.296_806_024_409_252_5]),
            (Momentum, Warmup::Simple, 3, [-9.382_151_029_748_28, 17.982_155_113_246_4]),
            (Efficiency, Warmup::Exponential, 3, [0.266_666_666_666_666_66, 0.153_846_153_846_153_85]),
            (Adaptive, Warmup::Exponential, 3, [5.689_107_284_775_615, 5.770_878_360_009_951]),
            (Momentum, Warmup::None, 2, [26.666_666_666_666_668, 15.384_615_384_615_385]),
        ];
        for (indicator, warmup, held, expected) in table {
            let answer = last_two(indicator, warmup);
            assert_eq!(answer, (held, expected), "{indicator:?} {warmup:?}");
        }
    }

    #[test]
    fn a_hold_period_says_how_many_points_are_left_out() {
        let technical = |hold| Technical {
            indicator: Indicator::Exponential,
            period: 3,
            hold,
            warmup: Warmup::Simple,
        };
        let run = |hold| apply(technical(hold), &[1, 2, 3], VALUES.into_iter());
        assert_eq!(run(Some(0)), (vec![1, 2, 3], vec![3.0, 4.0, 4.0]));
        assert_eq!(run(Some(1)), (vec![2, 3], vec![4.0, 4.0]));
        assert_eq!(run(Some(9)), (vec![], vec![]));
    }

    #[test]
    fn an_infinite_derivative_is_no_row() {
        let technical = Technical {
            indicator: Indicator::Derivative,
            period: 3,
            hold: Some(0),
            warmup: Warmup::Exponential,
        };
        let (times, _) = apply(technical, &[1, 2], VALUES.into_iter());
        assert_eq!(times, [2]);
    }
}
