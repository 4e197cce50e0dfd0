//! Numbers of any kind through their blocks, and through cold pages, and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_engine::codec::cold::{Form, Page, Pages, Shape};
use plimsoll_engine::codec::{cold, float, integer};

fuzz_target!(|values: Vec<i64>| {
    let values = &values[..values.len().min(256)];
    if values.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    let codec = integer::encode(values, &mut bytes);
    let mut back = Vec::new();
    integer::decode(codec, &bytes, values[0], values.len(), &mut back).unwrap();
    assert_eq!(back, values);

    let floats: Vec<f64> = values.iter().map(|v| f64::from_bits(v.cast_unsigned())).collect();
    bytes.clear();
    let codec = float::encode(&floats, &mut bytes);
    let (mut integers, mut back) = (Vec::new(), Vec::new());
    float::decode(codec, &bytes, floats[0], floats.len(), &mut integers, &mut back).unwrap();
    assert!(floats.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));

    if values.len() < 2 {
        return;
    }
    let mut page = Page::default();
    page.clear();
    integer::encode(values, &mut page.blocks);
    cold::steps_of(values, &mut page.steps);
    page.numbers.extend(values[1..].iter().map(|value| value.cast_unsigned()));
    page.shapes.push(Shape {
        bitmap_bytes: 0,
        steps: values.len() - 1,
        numbers: values.len() - 1,
    });
    let blocks = page.blocks.clone();
    bytes.clear();
    let form = Pages::default().encode(&page, &mut bytes);
    let len = match form {
        Form::Blocks => blocks.len(),
        Form::Steps | Form::Numbers => 8 * (values.len() - 1),
    };
    let decoded = cold::decode(&bytes, len).unwrap();
    let decoded = decoded.as_deref().unwrap_or(&bytes[1..]);
    match form {
        Form::Blocks => assert_eq!(decoded, blocks),
        Form::Steps => {
            let mut back = Vec::new();
            cold::decode_steps(decoded, values[0], values.len(), &mut back).unwrap();
            assert_eq!(back, values);
        }
        Form::Numbers => {
            let numbers = values[1..].iter().flat_map(|value| value.to_le_bytes());
            assert!(decoded.iter().copied().eq(numbers));
        }
    }
});
