//! integral(): the area under a curve, split at the edges of windows.

use plimsoll_engine::model::Values;

use super::Number;
use crate::exec::window::Windows;

/// Areas by time over all points of a group, in the query's direction, in `unit` ns.
///
/// Source: influxdb 1.12, `FloatIntegralReducer` and `IntegerIntegralReducer`, which differ: only
/// integers have the range's start without GROUP BY time, and at an edge they count the edge's
/// height for the point behind it.
pub(crate) fn apply(
    times: &[i64],
    values: &Values,
    windows: &Windows,
    ascending: bool,
    unit: i64,
) -> Vec<(i64, f64)> {
    let floats: Vec<f64> = match values {
        Values::Float(v) => v.clone(),
        Values::Integer(v) => v.iter().map(|v| v.float()).collect(),
        Values::Unsigned(v) => v.iter().map(|v| v.float()).collect(),
        Values::String(_) | Values::Boolean(_) => {
            unreachable!("the planner lets only numbers through to integral()")
        }
    };
    let is_float = matches!(values, Values::Float(_));
    Area {
        windows,
        ascending,
        unit: unit.float(),
        is_float,
    }
    .of(times, &floats)
}

struct Area<'a> {
    windows: &'a Windows,
    ascending: bool,
    unit: f64,
    is_float: bool,
}

impl Area<'_> {
    /// The edge at which the window of `time` begins, and the one at which it ends, as the points
    /// come.
    fn edges(&self, time: i64) -> (i64, i64) {
        if self.is_float && !self.windows.is_grouped() {
            return (0, 0);
        }
        let (start, end) = self.windows.of(time);
        if self.ascending {
            (start, end)
        } else {
            (end, start)
        }
    }

    fn is_past(&self, time: i64, edge: i64) -> bool {
        if self.is_float && !self.windows.is_grouped() {
            false
        } else if self.ascending {
            time >= edge
        } else {
            time <= edge
        }
    }

    fn elapsed(&self, from: i64, to: i64) -> f64 {
        to.wrapping_sub(from).float() / self.unit
    }

    fn of(&self, times: &[i64], values: &[f64]) -> Vec<(i64, f64)> {
        let mut areas = Vec::new();
        let mut points = times.iter().copied().zip(values.iter().copied());
        let Some((mut last_time, mut last)) = points.next() else {
            return areas;
        };
        let (mut begin, mut end) = self.edges(last_time);
        if begin == plimsoll_engine::model::TIME_MIN.0 {
            begin = 0;
        }
        let mut sum = 0.0;
        for (time, value) in points {
            if time == last_time {
                last = value;
                continue;
            }
            let mut height = value;
            if self.is_past(time, end) {
                if last_time != end {
                    let slope = (value - last) / time.wrapping_sub(last_time).float();
                    let at_edge = slope * end.wrapping_sub(last_time).float() + last;
                    sum += 0.5 * (at_edge + last) * self.elapsed(last_time, end);
                    last_time = end;
                    if self.is_float {
                        last = at_edge;
                    } else {
                        height = at_edge;
                    }
                }
                areas.push((begin, sum));
                (begin, end) = self.edges(time);
                sum = 0.0;
            }
            sum += 0.5 * (height + last) * self.elapsed(last_time, time);
            (last_time, last) = (time, value);
        }
        if last_time != begin {
            areas.push((begin, sum));
        }
        areas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn the_area_of_a_window_ends_at_its_edge() {
        let windows = Windows {
            every: 10 * SECOND,
            offset: 0,
            start: 0,
            end: 20 * SECOND,
            zone: None,
        };
        let times = [5 * SECOND, 15 * SECOND];
        let areas = apply(
            &times,
            &Values::Float(vec![0.0, 10.0]),
            &windows,
            true,
            SECOND,
        );
        assert_eq!(areas, [(0, 12.5), (10 * SECOND, 37.5)]);
    }
}
