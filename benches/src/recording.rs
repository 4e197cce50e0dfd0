//! The recording of real containers that lies beside the checkout (../shared/data/series), sampled,
//! and repeated under other names.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

/// One series of the recording.
#[derive(Debug, Clone)]
pub struct Series {
    /// The number of its target.
    pub target: usize,
    /// The metric's name.
    pub metric: String,
    /// Whether the values are the bits of floats.
    pub is_float: bool,
    /// Where it starts in the target's times.
    pub start: usize,
    /// A value for each time.
    pub values: Vec<i64>,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Name and times (ns) of each container, and of the node.
    pub targets: Vec<(String, Vec<i64>)>,
    /// The series.
    pub series: Vec<Series>,
}

/// Takes little-endian numbers and names from the front of bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Box<dyn Error>> {
        let (bytes, rest) = self
            .0
            .split_at_checked(len)
            .ok_or("a recording that ends early")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<usize, Box<dyn Error>> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?) as usize)
    }

    fn name(&mut self) -> Result<String, Box<dyn Error>> {
        let len = self.number()?;
        Ok(String::from_utf8(self.take(len)?.to_vec())?)
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<i64>, Box<dyn Error>> {
        let eights = self.take(count * 8)?.as_chunks().0.iter();
        Ok(eights.map(|eight| i64::from_le_bytes(*eight)).collect())
    }
}

impl Recording {
    /// Reads it; None where it is not there.
    ///
    /// # Errors
    /// It is damaged.
    pub fn read() -> Result<Option<Self>, Box<dyn Error>> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/data/series/containers_1s.cts.zst");
        let Ok(bytes) = std::fs::read(path) else {
            return Ok(None);
        };
        let bytes = zstd::bulk::decompress(&bytes, 64 << 20)?;
        let mut input = Input(&bytes);
        if input.take(4)? != b"CTS1" {
            return Err("a recording of another format".into());
        }
        let mut targets = Vec::new();
        for _ in 0..input.number()? {
            let name = input.name()?;
            let count = input.number()?;
            targets.push((name, input.numbers(count)?));
        }
        let mut series = Vec::new();
        for _ in 0..input.number()? {
            let target = input.number()?;
            let metric = input.name()?;
            let is_float = input.take(1)?[0] == 2;
            let start = input.number()?;
            let count = input.number()?;
            series.push(Series {
                target,
                metric,
                is_float,
                start,
                values: input.numbers(count)?,
            });
        }
        Ok(Some(Self { targets, series }))
    }

    /// How many seconds it lasts.
    #[must_use]
    pub fn seconds(&self) -> usize {
        self.targets
            .iter()
            .map(|(_, times)| times.len())
            .max()
            .unwrap_or(0)
    }
}

/// The recording's containers under other names, each copy sampled at its own second of the
/// interval and a little later, so that no two copies hold the same numbers or times.
#[derive(Debug)]
pub struct Copies<'a> {
    recording: &'a Recording,
    /// The series of each target.
    by_target: Vec<Vec<&'a Series>>,
    copies: usize,
    every: usize,
    /// Added to all times, ns.
    shift: i64,
}

impl<'a> Copies<'a> {
    /// `copies` of it, a sample every `every` seconds, the last at `end` (ns).
    #[must_use]
    pub fn new(recording: &'a Recording, copies: usize, every: usize, end: i64) -> Self {
        let mut by_target = vec![Vec::new(); recording.targets.len()];
        for series in &recording.series {
            by_target[series.target].push(series);
        }
        let last = recording
            .targets
            .iter()
            .filter_map(|(_, times)| times.last());
        let last = last.copied().max().unwrap_or(0);
        Self {
            recording,
            by_target,
            copies,
            every,
            shift: end - last,
        }
    }

    /// How many scrapes there are.
    #[must_use]
    pub fn scrapes(&self) -> usize {
        self.recording.seconds().div_ceil(self.every)
    }

    /// The lines of one scrape of all copies, a line a container, and how many values they hold.
    #[must_use]
    pub fn lines(&self, scrape: usize) -> (String, u64) {
        let mut out = String::new();
        let mut values = 0;
        for copy in 0..self.copies {
            let row = scrape * self.every + copy % self.every;
            for ((name, times), series) in self.recording.targets.iter().zip(&self.by_target) {
                let Some(time) = times.get(row) else { continue };
                let there = series.iter().filter_map(|series| {
                    let value = series.values.get(row.checked_sub(series.start)?)?;
                    Some((series, *value))
                });
                let line_at = out.len();
                write!(
                    out,
                    "container,container_name=n{copy:03}-{name},node=n{copy:03}"
                )
                .ok();
                let mut separator = ' ';
                for (series, value) in there {
                    let metric = &series.metric;
                    if series.is_float {
                        let value = f64::from_bits(value.cast_unsigned());
                        write!(out, "{separator}{metric}={value}").ok();
                    } else {
                        write!(out, "{separator}{metric}={value}i").ok();
                    }
                    separator = ',';
                    values += 1;
                }
                if separator == ' ' {
                    out.truncate(line_at);
                    continue;
                }
                let copy = i64::try_from(copy).expect("a few hundred copies");
                let time = time + self.shift + copy * 1_000_000;
                writeln!(out, " {time}").ok();
            }
        }
        (out, values)
    }
}
