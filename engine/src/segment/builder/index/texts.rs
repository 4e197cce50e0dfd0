//! All texts of a segment's index and their numbers: first as they come, then as they are sorted.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::model::tags::unescaped;

/// Texts, numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Texts<'b> {
    texts: Vec<&'b str>,
    numbers: HashMap<&'b str, u32>,
}

impl<'b> Texts<'b> {
    /// The number of a text, which is new or known.
    pub(super) fn number(&mut self, text: &'b str) -> u32 {
        let next = u32::try_from(self.texts.len()).expect("2^32 texts do not fit in memory");
        let number = *self.numbers.entry(text).or_insert(next);
        if number == next {
            self.texts.push(text);
        }
        number
    }

    /// Sorts them.
    pub(super) fn into_symbols(self) -> Symbols<'b> {
        let count = u32::try_from(self.texts.len()).expect("they have numbers");
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by_key(|number| self.texts[*number as usize]);
        let mut symbols = vec![0; order.len()];
        for (symbol, number) in (0..).zip(&order) {
            symbols[*number as usize] = symbol;
        }
        Symbols {
            sorted: order
                .iter()
                .map(|number| self.texts[*number as usize])
                .collect(),
            numbers: self.numbers,
            symbols,
        }
    }
}

/// Texts, sorted by their bytes.
#[derive(Debug)]
pub(super) struct Symbols<'b> {
    /// By symbol.
    pub(super) sorted: Vec<&'b str>,
    numbers: HashMap<&'b str, u32>,
    /// By number as they came.
    symbols: Vec<u32>,
}

impl Symbols<'_> {
    /// The symbol of a text by the number that it came with.
    pub(super) fn of_number(&self, number: u32) -> u32 {
        self.symbols[number as usize]
    }

    /// The symbol of a text, which is there.
    pub(super) fn of_text(&self, text: &str) -> u32 {
        self.of_number(self.numbers[text])
    }

    /// The place of each symbol among all in the order of what they mean, without their escapes;
    /// none where that is the symbols' own.
    pub(super) fn places_by_meaning(&self) -> Option<Vec<u32>> {
        if !self.sorted.iter().any(|text| text.contains('\\')) {
            return None;
        }
        let meanings: Vec<Cow<'_, str>> = self.sorted.iter().map(|text| unescaped(text)).collect();
        let count = u32::try_from(meanings.len()).expect("symbols have 32 bits");
        let mut order: Vec<u32> = (0..count).collect();
        // Stable, and quick where nearly all stand in order already.
        order.sort_by(|a, b| meanings[*a as usize].cmp(&meanings[*b as usize]));
        let mut places = vec![0; order.len()];
        for (place, symbol) in (0..).zip(order) {
            places[symbol as usize] = place;
        }
        Some(places)
    }
}
