//! What a reader keeps from body to body changes nothing of what it reads.

use proptest::prelude::*;

use super::super::{LineReader, Precision, lines};
use super::{NOW, shown};

#[test]
fn a_reader_keeps_what_it_has_learnt_and_forgets_what_is_out_of_use() {
    let mut reader = LineReader::default();
    let parse = |reader: &mut LineReader, period: u64, pods: std::ops::Range<u32>| {
        reader.turn(period);
        let lines: String = pods.map(|pod| format!("cpu,pod={pod} v=1i 1\n")).collect();
        let parsed = reader.parse(lines.as_bytes(), Precision::Seconds, NOW);
        let known = parsed.batch.tag_sets().len();
        reader.give_back(parsed.batch);
        known
    };
    assert_eq!(parse(&mut reader, 1, 0..100), 100);
    assert_eq!(parse(&mut reader, 1, 0..60), 100);
    let bytes = reader.bytes();
    assert_eq!(
        parse(&mut reader, 2, 0..60),
        100,
        "all were used in the first period"
    );
    assert_eq!(parse(&mut reader, 3, 90..95), 100, "60 were in the second");
    assert_eq!(parse(&mut reader, 4, 0..1), 1, "5 were in the third");
    assert!(reader.bytes() < bytes);
    let parsed = reader.parse(b"cpu,pod=7 v=1i 1", Precision::Seconds, NOW);
    drop(parsed);
    let parsed = reader.parse(b"cpu,pod=8 v=1i 1", Precision::Seconds, NOW);
    assert_eq!(shown(&parsed), ["cpu|pod=8|v=Integer(1)|1000000000"]);
}

/// Lines that repeat each other, and here and there something else in them.
fn repeating_lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "cpu,host=a,pod=x value=1i 17",
        "cpu,host=a,pod=x value=22i,other=-3i 17",
        "mem,host=a,pod=x value=2.5,other=t 18",
        "mem,host=b value=123456789012345678i",
        "mem,host=b value=1234567890123456789i 1",
        "cpu,pod=x,host=a value=12345678i -5",
        "cpu,labels=a:b\\,c:d value=F 17",
        "up value=7u 17",
        "up value=1e3 9999999999999999999",
        "cpu,host=a text=\"x y\" 17",
        "cpu,time=1 value=1i 17",
        "cpu,host=a time=1i,value=2i 17",
        "cpu,host=a a\\ b=1i 17",
        "# comment",
    ]);
    let piece = prop::sample::select(vec![
        "", "", "", "", "", "", " ", ",", "=", "\\", "\"", "\n", "\r", "\t", "\0", "1", "-", "i",
        "#",
    ]);
    let line = (line, piece, any::<prop::sample::Index>()).prop_map(|(line, piece, at)| {
        let at = at.index(line.len() + 1);
        format!("{}{piece}{}", &line[..at], &line[at..])
    });
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\n\n", " \n"]);
    prop::collection::vec((line, end), 1..30).prop_map(|lines| {
        let text: String = lines.into_iter().map(|(line, end)| line + end).collect();
        text.into_bytes()
    })
}

proptest! {
    #[test]
    fn a_reader_reads_what_it_knows_as_one_that_knows_nothing(
        first in repeating_lines(),
        body in repeating_lines(),
        cut in any::<prop::sample::Index>(),
        pieces_len in 0_usize..100,
    ) {
        let body = &body[..cut.index(body.len() + 1)];
        let (mut points, mut refused, mut dropped) = (Vec::new(), Vec::new(), 0);
        let mut at = 0;
        while let Some(line) = lines::next(body, &mut at) {
            let mut reader = LineReader::default();
            let mut parser = reader.begin(Precision::Seconds, NOW);
            if let Err(reason) = parser.line(line) {
                parser.reject(line, reason);
            }
            let alone = parser.finish();
            points.extend(shown(&alone));
            dropped += alone.dropped.map_or(0, |dropped| dropped.count);
            refused.extend(alone.rejected);
        }
        let mut reader = LineReader::default();
        for body in [&first, body, body] {
            let parsed = reader.parse(body, Precision::Seconds, NOW);
            reader.give_back(parsed.batch);
        }
        let parsed = if pieces_len == 0 {
            reader.parse(body, Precision::Seconds, NOW)
        } else {
            let pieces: Vec<&[u8]> = body.chunks(pieces_len).collect();
            reader.parse_pieces(&pieces, Precision::Seconds, NOW)
        };
        prop_assert_eq!(shown(&parsed), points);
        prop_assert_eq!(parsed.rejected, refused);
        prop_assert_eq!(parsed.dropped.map_or(0, |dropped| dropped.count), dropped);
    }
}
