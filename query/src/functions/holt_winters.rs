//! Forecasts by Holt's and Winters' method: damped trend, seasons that multiply.
//!
//! Source: `FloatHoltWintersReducer` and `query/neldermead` of InfluxDB 1.12. The digits depend on
//! the optimiser's path, so each step is done in its order.

use super::Number;

/// holt_winters() and holt_winters_with_fit() with their arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HoltWinters {
    /// How many points are forecast.
    pub(crate) steps: usize,
    /// Points of a season; below 2 there is none.
    pub(crate) season: usize,
    /// What is answered.
    pub(crate) answer: Forecast,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forecast {
    /// What is to come.
    Future,
    /// The fitted past, too.
    WithFit,
}

/// Stops the optimiser.
const EPSILON: f64 = 1.0e-4;
const ITERATIONS_MAX: usize = 1000;
/// The four parameters that are kept within 0 and 1, and the level and trend at the start.
const FIXED: usize = 6;

impl HoltWinters {
    /// How many values it works on: what a caller checks against its limit before.
    pub(crate) fn size(self, times: &[i64], every: i64) -> u64 {
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return 0;
        };
        let span = i128::from(*last) - i128::from(*first);
        let windows = u64::try_from(span / i128::from(every.max(1))).unwrap_or(0);
        windows.saturating_add(self.steps as u64)
    }

    /// Times and values of the forecast over points in the query's direction; `check` is asked
    /// between the starts of the optimiser.
    ///
    /// # Errors
    /// What `check` answers.
    pub(crate) fn apply<E>(
        self,
        times: &[i64],
        values: &[f64],
        every: i64,
        check: impl Fn() -> Result<(), E>,
    ) -> Result<(Vec<i64>, Vec<f64>), E> {
        let nothing = Ok((Vec::new(), Vec::new()));
        let (Some(first), Some(last)) = (times.first(), times.last()) else {
            return nothing;
        };
        let is_seasonal = self.season >= 2;
        let too_few = times.len() < 2 || (is_seasonal && times.len() < self.season);
        if too_few || every <= 0 || (round(*last, every) - round(*first, every)) / every <= 0 {
            return nothing;
        }
        let series = Series {
            values: spaced(times, values, every),
            is_seasonal,
        };
        if is_seasonal && series.values.len() < self.season {
            return nothing;
        }
        let parameters = series.best(series.guess(self.season), check)?;
        let forecast = series.forecast(self.steps, &mut parameters.clone());
        let (start, skipped) = match self.answer {
            Forecast::WithFit => (*first, 0),
            Forecast::Future => (last.saturating_add(every), series.values.len()),
        };
        let steps = forecast.into_iter().skip(skipped).zip(0_i64..);
        Ok(steps
            .filter(|(value, _)| !value.is_nan())
            .map(|(value, number)| (start.saturating_add(every.saturating_mul(number)), value))
            .unzip())
    }
}

/// The nearest multiple; what lies before 1970 rounds as Go's division does.
fn round(time: i64, every: i64) -> i64 {
    if time % every > every / 2 {
        (time / every + 1).saturating_mul(every)
    } else {
        time / every * every
    }
}

/// One value for each window; NaN where there is none.
fn spaced(times: &[i64], values: &[f64], every: i64) -> Vec<f64> {
    let mut spaced = Vec::new();
    let mut at: Option<i64> = None;
    for (time, value) in times.iter().zip(values) {
        let rounded = round(*time, every);
        if let Some(mut before) = at {
            if rounded <= before {
                continue;
            }
            before = before.saturating_add(every);
            while before < rounded {
                spaced.push(f64::NAN);
                before = before.saturating_add(every);
            }
        }
        spaced.push(*value);
        at = Some(rounded);
    }
    spaced
}

struct Series {
    values: Vec<f64>,
    is_seasonal: bool,
}

impl Series {
    /// Where the optimiser starts: four parameters that it varies, level, trend, seasons.
    fn guess(&self, season: usize) -> Vec<f64> {
        let values = &self.values;
        let mut start = vec![0.0; FIXED];
        if !self.is_seasonal {
            start[4] = 0.5 * values[0];
            if !values[1].is_nan() {
                start[5] = 0.5 * (values[1] - values[0]);
            }
            return start;
        }
        let by = (season as u64).float();
        for value in values.iter().take(season).filter(|value| !value.is_nan()) {
            start[4] += (1.0 / by) * value;
        }
        for (value, later) in values.iter().zip(&values[season..]).take(season) {
            if !value.is_nan() && !later.is_nan() {
                start[5] += 1.0 / (by * by) * (later - value);
            }
        }
        let level = start[4];
        let seasons = values.iter().take(season);
        start.extend(seasons.map(|value| if value.is_nan() { 0.0 } else { value / level }));
        start
    }

    /// The best parameters of sixteen starts.
    fn best<E>(
        &self,
        mut start: Vec<f64>,
        check: impl Fn() -> Result<(), E>,
    ) -> Result<Vec<f64>, E> {
        const GUESSES: [f64; 2] = [0.3, 0.3 + 0.4];
        let mut best: Option<(f64, Vec<f64>)> = None;
        for number in 0..16_usize {
            check()?;
            for (place, parameter) in start.iter_mut().take(4).enumerate() {
                *parameter = GUESSES[(number >> (3 - place)) & 1];
            }
            let (error, found) = minimise(&|parameters| self.error(parameters), &start);
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, found));
            }
        }
        Ok(best.map_or(start, |(_, found)| found))
    }

    /// The sum of squared errors.
    fn error(&self, parameters: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        for (found, value) in self.forecast(0, parameters).into_iter().zip(&self.values) {
            if value.is_nan() {
                continue;
            }
            if found.is_nan() {
                return f64::INFINITY;
            }
            let difference = found - value;
            sum += difference * difference;
        }
        sum
    }

    /// The series by its parameters, and `steps` more. The parameters are brought into their
    /// bounds, and the seasons go on: the optimiser sees both.
    fn forecast(&self, steps: usize, parameters: &mut [f64]) -> Vec<f64> {
        for parameter in &mut parameters[..4] {
            *parameter = parameter.clamp(0.0, 1.0);
        }
        let (fixed, seasons) = parameters.split_at_mut(FIXED);
        let (alpha, beta, gamma, phi) = (fixed[0], fixed[1], fixed[2], fixed[3]);
        let (mut level, mut trend) = (fixed[4], fixed[5]);
        let mut damping = phi;
        let mut value = self.values[0];
        let len = self.values.len() + steps;
        let season = seasons.len();
        let mut shift = season.saturating_sub(1);
        let mut forecast = vec![0.0; len];
        forecast[0] = value;
        for at in 1..len {
            let (mut now, mut then) = (1.0, 1.0);
            if self.is_seasonal {
                // One season is added before it is taken away: the places are the same.
                now = seasons[rest(at + shift, season, season)];
                then = seasons[rest(at + at % season + shift, season, season)];
            }
            let expected = level + phi * trend;
            let next_level = alpha * (value / now) + (1.0 - alpha) * expected;
            let next_trend = beta * (next_level - level) + (1.0 - beta) * phi * trend;
            let next_season = gamma * (value / expected) + (1.0 - gamma) * now;
            value = (next_level + damping * next_trend) * then;
            (level, trend) = (next_level, next_trend);
            damping += power(phi, at as u64);
            if self.is_seasonal {
                seasons[(at + shift) % season] = next_season;
                shift += 1;
            }
            forecast[at] = value;
        }
        forecast
    }
}

/// `(sum - less) mod season`: `sum` is never below `less` here.
fn rest(sum: usize, less: usize, season: usize) -> usize {
    (sum - less.min(sum)) % season
}

/// `x` to the power of `n`, for `x` from 0 to 1, as Go computes it: by squares of the fraction.
///
/// Source: `math.Pow` of Go's library.
fn power(x: f64, n: u64) -> f64 {
    if n == 0 || x == 1.0 {
        return 1.0;
    }
    if n == 1 || x == 0.0 || x.is_nan() {
        return x;
    }
    let (mut fraction, mut exponent) = parts(x);
    let (mut product, mut sum) = (1.0, 0_i64);
    let mut left = n;
    while left != 0 {
        if exponent < -(1 << 12) {
            return 0.0;
        }
        if left & 1 == 1 {
            product *= fraction;
            sum += exponent;
        }
        fraction *= fraction;
        exponent <<= 1;
        if fraction < 0.5 {
            fraction += fraction;
            exponent -= 1;
        }
        left >>= 1;
    }
    scaled(product, sum)
}

/// A fraction from 0.5 to 1 and an exponent of 2, of a number above 0.
fn parts(x: f64) -> (f64, i64) {
    const ONE: u64 = 1 << 52;
    if x < f64::MIN_POSITIVE {
        let (fraction, exponent) = parts(x * ONE.float());
        return (fraction, exponent - 52);
    }
    let bits = x.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - 1022;
    (
        f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)),
        exponent,
    )
}

/// `x` by a power of 2 from far below 1 up to 1.
fn scaled(x: f64, exponent: i64) -> f64 {
    let two_to = |exponent: i64| f64::from_bits(u64::try_from(exponent + 1023).unwrap_or(0) << 52);
    match exponent {
        -1000.. => x * two_to(exponent.min(1023)),
        -2000..-1000 => x * two_to(-1000) * two_to(exponent + 1000),
        _ => 0.0,
    }
}

/// The least value that the simplex method finds, and where; `of` may move what it is given.
///
/// Source: Nelder and Mead 1965, in the form of <http://www.mikehutt.com/neldermead.html>.
fn minimise(of: &dyn Fn(&mut [f64]) -> f64, start: &[f64]) -> (f64, Vec<f64>) {
    let n = start.len();
    let dimensions = (n as u64).float();
    let root = (dimensions + 1.0).sqrt();
    let divisor = dimensions * std::f64::consts::SQRT_2;
    let near = (root - 1.0 + dimensions) / divisor;
    let far = (root - 1.0) / divisor;
    let mut vertices = vec![start.to_vec(); n + 1];
    for (number, vertex) in vertices.iter_mut().enumerate().skip(1) {
        for (place, coordinate) in vertex.iter_mut().enumerate() {
            *coordinate = if place + 1 == number { near } else { far } + start[place];
        }
    }
    let mut heights: Vec<f64> = vertices.iter_mut().map(|vertex| of(vertex)).collect();
    let mut centre = vec![0.0; n];
    for _ in 0..ITERATIONS_MAX {
        let (worst, second, least) = ranks(&heights);
        for (place, coordinate) in centre.iter_mut().enumerate() {
            let others = vertices.iter().enumerate().filter(|(at, _)| *at != worst);
            let sum = others.fold(0.0, |sum, (_, vertex)| sum + vertex[place]);
            *coordinate = sum / dimensions;
        }
        let moved = |from: &[f64], by: f64| -> Vec<f64> {
            let pairs = centre.iter().zip(from);
            pairs
                .map(|(middle, from)| middle + by * (from - middle))
                .collect()
        };
        let away = centre.iter().zip(&vertices[worst]);
        let mut reflected: Vec<f64> = away.map(|(middle, bad)| middle + (middle - bad)).collect();
        let height = of(&mut reflected);
        if height < heights[second] && height >= heights[least] {
            vertices[worst].clone_from(&reflected);
            heights[worst] = height;
        }
        if height < heights[least] {
            let mut expanded = moved(&reflected, 2.0);
            let further = of(&mut expanded);
            if further < height {
                vertices[worst] = expanded;
                heights[worst] = further;
            } else {
                vertices[worst].clone_from(&reflected);
                heights[worst] = height;
            }
        }
        if height >= heights[second] {
            let mut contracted = if height < heights[worst] {
                moved(&reflected, 0.5)
            } else {
                let inside = centre.iter().zip(&vertices[worst]);
                inside
                    .map(|(middle, bad)| middle - 0.5 * (middle - bad))
                    .collect()
            };
            let between = of(&mut contracted);
            if between < heights[worst] {
                vertices[worst] = contracted;
                heights[worst] = between;
            } else {
                let kept = vertices[least].clone();
                for (at, vertex) in vertices.iter_mut().enumerate() {
                    if at != least {
                        for (coordinate, kept) in vertex.iter_mut().zip(&kept) {
                            *coordinate = kept + (*coordinate - kept) / 2.0;
                        }
                    }
                }
                heights[worst] = of(&mut vertices[worst]);
                heights[second] = of(&mut vertices[second]);
            }
        }
        if spread(&heights, dimensions) < EPSILON {
            break;
        }
    }
    let (_, _, least) = ranks(&heights);
    let mut found = vertices.swap_remove(least);
    let answer = found.clone();
    (of(&mut found), answer)
}

/// The places of the highest, the second highest and the lowest.
fn ranks(heights: &[f64]) -> (usize, usize, usize) {
    let (mut worst, mut least) = (0, 0);
    for (at, height) in heights.iter().enumerate() {
        if *height > heights[worst] {
            worst = at;
        }
        if *height < heights[least] {
            least = at;
        }
    }
    let mut second = least;
    for (at, height) in heights.iter().enumerate() {
        if *height > heights[second] && *height < heights[worst] {
            second = at;
        }
    }
    (worst, second, least)
}

/// How far the heights lie apart.
fn spread(heights: &[f64], dimensions: f64) -> f64 {
    let mean = heights.iter().fold(0.0, |sum, height| sum + height) / (dimensions + 1.0);
    let squares = heights.iter().fold(0.0, |sum, height| {
        let off = height - mean;
        sum + off * off / dimensions
    });
    squares.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(answer: Forecast, steps: usize, season: usize, values: &[f64]) -> (Vec<i64>, Vec<f64>) {
        let forecast = HoltWinters {
            steps,
            season,
            answer,
        };
        let times: Vec<i64> = (1..).take(values.len()).collect();
        let answer: Result<_, ()> = forecast.apply(&times, values, 1, || Ok(()));
        answer.unwrap()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let off = (found - expected).abs();
            assert!(off <= expected.abs() * 1e-12, "{found} is not {expected}");
        }
    }

    /// `TestHoltWinters_USPopulation` of `query/functions_test.go`.
    #[test]
    fn a_trend_goes_on_as_in_influxdbs_own_test() {
        #[rustfmt::skip]
        let values = [
            3.93, 5.31, 7.24, 9.64, 12.90, 17.10, 23.20, 31.40, 39.80, 50.20, 62.90, 76.00, 92.00, 105.70, 122.80, 131.70, 151.30, 179.30, 203.20,
        ];
        #[rustfmt::skip]
        let expected = [
            3.93, 4.957405463559748, 7.012210102535647, 10.099589257439924, 14.229926188104242, 19.418878968703797, 25.68749172281409, 33.062351305731305, 41.575791076125206, 51.26614395589263, 62.178047564264595, 74.36280483872488, 87.87880423073163, 102.79200429905801, 119.17648832929542, 137.11509549747296, 156.70013608313175, 178.03419933863566, 201.23106385518594, 226.4167216525905, 253.73052878285205, 283.32649700397553, 315.37474308085984, 350.06311454009256, 387.59901328556873, 428.21144141893404, 472.1532969569147, 519.7039509590035, 571.1721419458248,
        ];
        let (times, forecast) = run(Forecast::WithFit, 10, 0, &values);
        assert_eq!(times.last(), Some(&29));
        assert_close(&forecast, &expected);
    }

    /// `TestHoltWinters_AusTourists` of `query/functions_test.go`.
    #[test]
    fn seasons_go_on_as_in_influxdbs_own_test() {
        #[rustfmt::skip]
        let values = [
            30.052513, 19.148496, 25.317692, 27.591437, 32.076456, 23.487961, 28.47594, 35.123753, 36.838485, 25.007017, 30.72223, 28.693759, 36.640986, 23.824609, 29.311683, 31.770309, 35.177877, 19.775244, 29.60175, 34.538842, 41.273599, 26.655862, 28.279859, 35.191153, 41.727458, 24.04185, 32.328103, 37.328708, 46.213153, 29.346326, 36.48291, 42.977719, 48.901525, 31.180221, 37.717881, 40.420211, 51.206863, 31.887228, 40.978263, 43.772491, 55.558567, 33.850915, 42.076383, 45.642292, 59.76678, 35.191877, 44.319737, 47.913736,
        ];
        #[rustfmt::skip]
        let expected = [
            51.85064132137853, 43.26055282315273, 41.827258044814464, 54.3990354591749, 54.62334472770803, 45.57155693625209, 44.06051240252263, 57.30029870759433, 57.53591513519172, 47.999008139396096,
        ];
        let (times, forecast) = run(Forecast::Future, 10, 4, &values);
        assert_eq!(times.last(), Some(&58));
        assert_close(&forecast, &expected);
    }

    #[test]
    fn powers_are_gos() {
        assert_eq!(power(0.5, 10), 0.000_976_562_5);
        assert_eq!(power(0.0, 3), 0.0);
        assert_eq!(power(1.0, 9), 1.0);
        assert_eq!(power(1e-300, 2), 0.0);
        assert!((power(0.9, 100) / 0.9_f64.powi(100) - 1.0).abs() < 1e-14);
    }
}
