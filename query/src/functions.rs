//! InfluxQL's functions over slices of one window or one group; they know nothing of statements.
//!
//! Each takes whole slices, so that a window costs one call and a point none.

pub(crate) mod counter;
pub(crate) mod elementary;
pub(crate) mod fill;
pub(crate) mod fold;
pub(crate) mod hll;
pub(crate) mod holt_winters;
pub(crate) mod integral;
pub(crate) mod math;
pub(crate) mod rank;
pub(crate) mod technical;
pub(crate) mod transform;
pub(crate) mod window;

use plimsoll_engine::model::FieldType;

/// A function that answers from partial results of each series; no order between series matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    /// How many.
    Count,
    /// Integers wrap.
    Sum,
    /// Sum by count.
    Mean,
    /// The smallest, the earliest of several.
    Min,
    /// The largest, the earliest of several.
    Max,
    /// The earliest, the largest of several at one time.
    First,
    /// The latest, the largest of several at one time.
    Last,
    /// Max less min.
    Spread,
}

/// A function that needs all points of a window, in order of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Whole {
    /// The middle one, or the mean of the two in the middle.
    Median,
    /// The most frequent.
    Mode,
    /// Of a sample; one point has none.
    Stddev,
    /// Each value once.
    Distinct,
    /// How many distinct values.
    CountDistinct,
    /// Nearest rank.
    Percentile(f64),
    /// So many, chosen at random.
    Sample(usize),
    /// The largest, so many.
    Top(usize),
    /// The smallest, so many.
    Bottom(usize),
}

/// A function of neighbouring points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transform {
    /// Change by a unit of time, ns.
    Derivative(i64, Sign),
    /// Change.
    Difference(Sign),
    /// Sum of all so far.
    CumulativeSum,
    /// Mean of the last so many.
    MovingAverage(usize),
    /// Time between, in a unit of ns.
    Elapsed(i64),
    /// A function of technical analysis.
    Technical(technical::Technical),
}

/// Whether negative changes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// They do.
    Any,
    /// They are left out.
    NonNegative,
}

impl Fold {
    /// The function of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "sum" => Self::Sum,
            "mean" => Self::Mean,
            "min" => Self::Min,
            "max" => Self::Max,
            "first" => Self::First,
            "last" => Self::Last,
            "spread" => Self::Spread,
            _ => return None,
        })
    }

    /// Whether it answers one of the points that it was given.
    pub(crate) fn is_selector(self) -> bool {
        matches!(self, Self::Min | Self::Max | Self::First | Self::Last)
    }

    /// Whether it takes values of this type.
    pub(crate) fn takes(self, field_type: FieldType) -> bool {
        match self {
            Self::Count | Self::First | Self::Last => true,
            Self::Min | Self::Max => field_type != FieldType::String,
            Self::Sum | Self::Mean | Self::Spread => is_number(field_type),
        }
    }
}

impl Whole {
    /// Whether it answers points that it was given.
    pub(crate) fn is_selector(self) -> bool {
        matches!(
            self,
            Self::Percentile(_) | Self::Sample(_) | Self::Top(_) | Self::Bottom(_)
        )
    }

    /// Whether its results keep the time of their points under GROUP BY time, too.
    pub(crate) fn keeps_times(self) -> bool {
        matches!(self, Self::Sample(_) | Self::Top(_) | Self::Bottom(_))
    }

    /// Whether windows without points are filled.
    pub(crate) fn is_filled(self) -> bool {
        matches!(
            self,
            Self::Median | Self::Mode | Self::Stddev | Self::CountDistinct | Self::Percentile(_)
        )
    }

    /// Whether it takes values of this type.
    pub(crate) fn takes(self, field_type: FieldType) -> bool {
        match self {
            Self::Mode | Self::Distinct | Self::CountDistinct | Self::Sample(_) => true,
            _ => is_number(field_type),
        }
    }

    /// The type of its result.
    pub(crate) fn result(self, argument: FieldType) -> FieldType {
        match self {
            Self::CountDistinct => FieldType::Integer,
            Self::Median | Self::Stddev => FieldType::Float,
            _ => argument,
        }
    }
}

impl Transform {
    /// Whether it takes values of this type.
    pub(crate) fn takes(self, field_type: FieldType) -> bool {
        matches!(self, Self::Elapsed(_)) || is_number(field_type)
    }

    /// Whether it reads one window more than the range has.
    pub(crate) fn reads_window_before(self) -> bool {
        self != Self::CumulativeSum
    }
}

fn is_number(field_type: FieldType) -> bool {
    matches!(
        field_type,
        FieldType::Float | FieldType::Integer | FieldType::Unsigned
    )
}

/// What the number types share here. Arithmetic of integers wraps.
pub(crate) trait Number: Copy + PartialOrd {
    /// Zero.
    const ZERO: Self;
    /// Above all others.
    const HIGHEST: Self;
    /// Below all others.
    const LOWEST: Self;
    /// The sum.
    fn plus(self, other: Self) -> Self;
    /// The difference.
    fn minus(self, other: Self) -> Self;
    /// The nearest float.
    fn float(self) -> f64;
    /// The difference as a float: with its sign, where the type itself has none.
    fn float_minus(self, other: Self) -> f64;
    /// An order in which what is no number is equal to any, so that it is not one to sort by.
    fn order(&self, other: &Self) -> std::cmp::Ordering;
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    const HIGHEST: Self = f64::INFINITY;
    const LOWEST: Self = f64::NEG_INFINITY;

    #[inline]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline]
    fn minus(self, other: Self) -> Self {
        self - other
    }

    #[inline]
    fn float(self) -> f64 {
        self
    }

    #[inline]
    fn float_minus(self, other: Self) -> f64 {
        self - other
    }

    #[inline]
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal)
    }
}

macro_rules! integer {
    ($kind:ty, $float_minus:expr) => {
        impl Number for $kind {
            const ZERO: Self = 0;
            const HIGHEST: Self = <$kind>::MAX;
            const LOWEST: Self = <$kind>::MIN;

            #[inline]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[expect(clippy::cast_precision_loss, reason = "the nearest float is meant")]
            #[inline]
            fn float(self) -> f64 {
                self as f64
            }

            #[inline]
            fn float_minus(self, other: Self) -> f64 {
                let minus: fn(Self, Self) -> f64 = $float_minus;
                minus(self, other)
            }

            #[inline]
            fn order(&self, other: &Self) -> std::cmp::Ordering {
                self.cmp(other)
            }
        }
    };
}

integer!(i64, |a, b| a.wrapping_sub(b).float());
integer!(u64, |a, b| if a > b {
    (a - b).float()
} else {
    -(b - a).float()
});
