use super::*;
use crate::head::ReadTimes;
use crate::head::shape::Shapes;
use crate::model::{FieldValue, Timestamp, Values};

/// A group of integers, and where its rows lie.
struct Written {
    shapes: Shapes,
    room: Room,
    group: RowGroup,
}

impl Written {
    fn new() -> Self {
        let mut shapes = Shapes::default();
        let shape = shapes.intern(&[10, 11], &|_| FieldType::Integer);
        Self {
            shapes,
            room: Room::default(),
            group: RowGroup::new(0, PartitionId(1), shape),
        }
    }

    fn write(&mut self, time: i64, values: &[(usize, i64)]) {
        let values = row(values);
        let (mut buffer, mut context) = (Vec::new(), Context::default());
        self.group
            .write(&mut self.room, time, &values, &mut buffer, &mut context, 0);
    }

    fn read_within(&self, slot: usize, range: TimeRange) -> Vec<(i64, i64)> {
        let mut times = ReadTimes::default();
        let mut values = Values::new(FieldType::Integer);
        self.group
            .read(&self.room, slot, range, &mut times, &mut values);
        let Values::Integer(values) = values else {
            panic!("integers")
        };
        if let Some(count) = self.group.count(&self.room, slot, range) {
            assert_eq!(count, times.len(), "as many are counted as are read");
        }
        times.into_vec().into_iter().zip(values).collect()
    }

    fn read(&self, slot: usize) -> Vec<(i64, i64)> {
        self.read_within(slot, TimeRange::ALL)
    }

    /// The last of the rows that are read where one is wanted.
    fn last(&self, slot: usize, range: TimeRange) -> Option<(i64, i64)> {
        let mut times = ReadTimes::default();
        let mut values = Values::new(FieldType::Integer);
        let wanted = crate::snapshot::Rows::Last(1);
        let (room, group) = (&self.room, &self.group);
        group.read_wanted(room, slot, range, wanted, &mut times, &mut values);
        let Values::Integer(values) = values else {
            panic!("integers")
        };
        times.into_vec().pop().zip(values.last().copied())
    }

    fn widen(&mut self, column: u32) -> usize {
        let shape = self
            .shapes
            .extend(self.group.shape(), column, FieldType::Integer);
        self.group.widen(&mut self.room, shape)
    }
}

fn row(values: &[(usize, i64)]) -> RowValues {
    let mut row = RowValues::default();
    for (slot, value) in values {
        row.set(*slot, &FieldValue::Integer(*value));
    }
    row
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange {
        start: Timestamp(start),
        end: Timestamp(end),
    }
}

#[test]
fn the_last_value_is_that_of_all_rows_wherever_it_stands() {
    let mut group = Written::new();
    let check = |group: &Written| {
        for slot in [0, 1] {
            for end in [5, 10, 20, 695, 700, 705, i64::MAX] {
                let range = range(0, end);
                let expected = group.read_within(slot, range).last().copied();
                assert_eq!(group.last(slot, range), expected, "slot {slot} to {end}");
                let has = group.group.has_points(&group.room, slot, range);
                assert_eq!(has, expected.is_some(), "slot {slot} to {end}");
            }
        }
    };
    check(&group);
    for time in 1..=70 {
        let both = [(0, time), (1, -time)];
        let row = if time % 3 == 0 { &both[..1] } else { &both[..] };
        group.write(time * 10, row);
        check(&group);
    }
    // A row's second column comes later, or not at all, or is taken away again.
    group.write(700, &[(1, 7)]);
    check(&group);
    group.write(710, &[(0, 71)]);
    check(&group);
    group.write(710, &[(0, 72), (1, 73)]);
    check(&group);
    group.write(695, &[(0, 8), (1, 9)]);
    check(&group);
    group.group.delete(&mut group.room, &[10], range(700, 720));
    check(&group);
    group.write(720, &[(0, 72), (1, 72)]);
    check(&group);
}

#[test]
fn a_late_value_wins_over_the_row_of_its_time_and_the_last_late_one_wins() {
    let mut group = Written::new();
    group.write(10, &[(0, 1), (1, 2)]);
    group.write(20, &[(0, 3)]);
    group.write(10, &[(0, 7)]);
    group.write(10, &[(0, 8)]);
    group.write(5, &[(1, 9)]);
    assert_eq!(group.read(0), [(10, 8), (20, 3)]);
    assert_eq!(group.read(1), [(5, 9), (10, 2)]);
}

#[test]
fn values_of_the_last_time_are_merged_into_its_row() {
    let mut group = Written::new();
    group.write(10, &[(0, 1)]);
    group.write(10, &[(1, 2)]);
    group.write(10, &[(0, 5)]);
    assert_eq!(
        (group.read(0), group.read(1)),
        (vec![(10, 5)], vec![(10, 2)])
    );
    assert!(group.group.is_plain());
}

#[test]
fn deleted_values_leave_their_rows_and_later_ones_are_kept() {
    let mut group = Written::new();
    for time in [10, 20, 30] {
        group.write(time, &[(0, time), (1, time)]);
    }
    group.write(15, &[(0, 15)]);
    let base = group.group.base();
    group.group.delete(&mut group.room, &[10], range(15, 30));
    assert_eq!(group.group.base(), base, "the log's differences go on");
    assert_eq!(group.read(0), [(10, 10)]);
    assert_eq!(group.read(1), [(10, 10), (20, 20), (30, 30)]);
    group.write(30, &[(0, 31)]);
    group.write(15, &[(0, 16)]);
    group.write(40, &[(0, 41), (1, 42)]);
    assert_eq!(group.read(0), [(10, 10), (15, 16), (30, 31), (40, 41)]);
    assert_eq!(group.read(1).last(), Some(&(40, 42)));
    assert!(group.group.holds_any(&group.room, &[10]) && !group.group.is_empty(&group.room));
    group
        .group
        .delete(&mut group.room, &[10, 11], TimeRange::ALL);
    assert!(!group.group.holds_any(&group.room, &[10]) && group.group.is_empty(&group.room));
}

#[test]
fn a_hidden_column_is_revealed_by_its_next_value() {
    let mut group = Written::new();
    group.write(10, &[(0, 1), (1, 1)]);
    group.group.hide(&[11]);
    let value = |slot| row(&[(slot, 2)]);
    assert!(group.group.reveal(&value(0)).is_empty());
    assert_eq!(group.group.reveal(&value(1)).as_slice(), [11]);
    assert!(group.group.reveal(&value(1)).is_empty());
}

#[test]
fn a_column_that_comes_later_is_absent_before() {
    let mut group = Written::new();
    group.write(10, &[(0, 1), (1, 1)]);
    let slot = group.widen(12);
    group.write(20, &[(2, 4)]);
    group.write(20, &[(0, 5)]);
    assert_eq!(group.read(slot), [(20, 4)]);
    assert_eq!(group.read(0), [(10, 1), (20, 5)]);
}

#[test]
fn rows_of_many_seals_come_back_within_any_range_and_for_a_segment() {
    let mut group = Written::new();
    let rows = 3_000;
    for row in 0..rows {
        let time = row * 10 + row % 3;
        if row % 7 == 0 {
            group.write(time, &[(0, row * row)]);
        } else {
            group.write(time, &[(0, row * row), (1, row)]);
        }
    }
    let all: Vec<(i64, i64)> = (0..rows)
        .map(|row| (row * 10 + row % 3, row * row))
        .collect();
    assert_eq!(group.read(0), all);
    for (start, end) in [
        (0, 0),
        (5, 700),
        (1_003, 29_000),
        (29_999, 40_000),
        (29_000, 29_010),
    ] {
        let rows = all.iter().filter(|row| (start..=end).contains(&row.0));
        let expected: Vec<(i64, i64)> = rows.copied().collect();
        assert_eq!(
            group.read_within(0, range(start, end)),
            expected,
            "{start} {end}"
        );
        let has = group.group.has_points(&group.room, 0, range(start, end));
        assert_eq!(has, !expected.is_empty());
    }
    let GroupRows::Together { times, columns } = group.group.rows(&group.room) else {
        panic!("nothing came late")
    };
    assert!(all.iter().map(|row| row.0).eq(times));
    let (_, values, presence) = &columns[1];
    let presence = presence.as_ref().expect("some rows have no value");
    let there = presence.iter().filter(|there| **there).count();
    assert_eq!(values.len(), there);
    let is_expected = |(row, there): (i64, &bool)| *there == (row % 7 != 0);
    assert!((0..rows).zip(presence).all(is_expected));
    assert!(columns[0].2.is_none() && columns[0].1.len() == all.len());
    assert!(
        group.group.sealed.len() < 20,
        "small chunks become large ones"
    );
}

#[test]
fn points_are_counted_without_reading_them_whether_rows_are_full_or_not() {
    let mut group = Written::new();
    for row in 0..400_i64 {
        match row {
            // The last of them is made full by a second write.
            150..=199 => group.write(row, &[(0, row)]),
            _ => group.write(row, &[(0, row), (1, -row)]),
        }
        if row % 50 == 49 {
            group.write(row, &[(0, row), (1, 1)]);
        }
        for (start, end) in [
            (0, row),
            (row - 70, row),
            (row - 3, row - 1),
            (-5, 1_000),
            (9, 2),
        ] {
            for slot in 0..2 {
                let range = range(start, end);
                let read = group.read_within(slot, range).len();
                let counted = group.group.count(&group.room, slot, range);
                assert_eq!(counted, Some(read), "slot {slot} of row {row}");
            }
        }
    }
    let slot = group.widen(7);
    group.write(400, &[(0, 1)]);
    group.write(401, &[(0, 1), (1, 1), (slot, 1)]);
    assert_eq!(
        (
            group.read(0).len(),
            group.read(1).len(),
            group.read(slot).len()
        ),
        (402, 352, 1)
    );
    group.write(5, &[(0, 1)]);
    let counted = group.group.count(&group.room, 0, TimeRange::ALL);
    assert_eq!(counted, None, "a late value may stand for another");
}

#[test]
fn thousands_of_late_values_are_sealed_and_the_last_of_each_time_wins() {
    let mut group = Written::new();
    group.write(1_000_000, &[(0, -1), (1, -1)]);
    for round in 0..3_i64 {
        for step in 0..4_000_i64 {
            let time = step * 7_919 % 5_003;
            group.write(time, &[(0, time + round), (1, round)]);
        }
    }
    let mut expected = std::collections::BTreeMap::new();
    for step in 0..4_000_i64 {
        let time = step * 7_919 % 5_003;
        expected.insert(time, time + 2);
    }
    expected.insert(1_000_000, -1);
    assert_eq!(group.read(0), expected.into_iter().collect::<Vec<_>>());
    group.group.delete(&mut group.room, &[11], range(0, 2_500));
    assert!(
        group
            .read(1)
            .iter()
            .all(|row| row.0 > 2_500 && (row.1 == 2 || row.1 == -1))
    );
    assert!(!group.group.has_points(&group.room, 1, range(0, 2_500)));
}

#[test]
fn what_a_group_takes_beside_its_rows_is_bounded() {
    // The tag set's entry, its place by number and by hash, and an allocation's own bytes.
    let entry = size_of::<crate::head::shard::TagEntry>() + 8 + 8;
    let fixed = RowGroup::fixed_bytes(0);
    assert!(fixed + entry <= 200, "{fixed} + {entry} bytes");
    assert_eq!(
        RowGroup::fixed_bytes(15) - fixed,
        15 * 8,
        "a column takes its last value"
    );
}

#[test]
fn memory_that_is_counted_is_what_is_held() {
    let mut group = Written::new();
    let mut counted = 0;
    for row in 0..1_000_i64 {
        let values = super::tests::row(&[(0, row), (1, row * row)]);
        let (mut buffer, mut context) = (Vec::new(), Context::default());
        let time = if row % 50 == 49 { 3 } else { row };
        counted += group
            .group
            .write(&mut group.room, time, &values, &mut buffer, &mut context, 0);
    }
    let side = group.group.side().map_or(0, Side::memory_bytes);
    assert_eq!(counted.cast_unsigned(), group.group.rows_bytes() + side);
    counted += group.group.delete(&mut group.room, &[10], range(100, 500));
    let side = group.group.side().map_or(0, Side::memory_bytes);
    assert!(
        counted
            .cast_unsigned()
            .abs_diff(group.group.rows_bytes() + side)
            < 4096
    );
}

#[test]
fn a_tail_that_is_read_again_is_sealed_and_all_goes_on_as_if_it_were_not() {
    let (mut group, mut unread) = (Written::new(), Written::new());
    let mut held = 0;
    for row in 0..1_000_i64 {
        for written in [&mut group, &mut unread] {
            match row % 5 {
                0 => written.write(row * 10, &[(0, row)]),
                1 => {
                    // The second column of the last row comes after it was read.
                    written.write(row * 10, &[(0, row)]);
                }
                _ => written.write(row * 10, &[(0, row), (1, row * row)]),
            }
        }
        let before = group.group.rows_bytes();
        if row % 3 == 0 || row > 600 {
            held = group.group.was_read(&mut group.room);
        }
        assert_eq!(
            change(before, group.group.rows_bytes()),
            std::mem::take(&mut held)
        );
        if row % 5 == 1 {
            for written in [&mut group, &mut unread] {
                written.write(row * 10, &[(1, -row)]);
                written.write(row * 10, &[(1, row)]);
            }
        }
        assert!(row < 100 || usize::from(group.group.tail_rows) <= READ_ROWS_MAX + 3);
        assert_eq!(group.group.base(), unread.group.base());
        for slot in [0, 1] {
            for range in [TimeRange::ALL, range(row * 10 - 200, row * 10 - 30)] {
                let expected = unread.read_within(slot, range);
                assert_eq!(group.read_within(slot, range), expected, "row {row}");
                assert_eq!(group.last(slot, range), expected.last().copied());
            }
        }
    }
    assert!(
        group.group.sealed.len() < 16,
        "small chunks become large ones"
    );
    let small = group
        .group
        .sealed
        .iter()
        .filter(|chunk| chunk.rows() < SEALED_ROWS_MAX / 2);
    assert!(small.count() <= CHUNKS_MERGED);
}

#[test]
fn a_tail_that_is_read_once_stays() {
    let mut group = Written::new();
    for row in 0..15 {
        group.write(row, &[(0, row)]);
        assert_eq!(group.group.was_read(&mut group.room), 0);
    }
    (15..40).for_each(|row| group.write(row, &[(0, row)]));
    let before = group.group.sealed.len();
    group.group.was_read(&mut group.room);
    assert_eq!(
        group.group.sealed.len(),
        before,
        "the first reader may be the only one"
    );
    group.group.was_read(&mut group.room);
    assert_eq!(group.group.tail_rows, 1);
}
