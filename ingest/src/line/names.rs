//! Names of measurements and fields as they stand in lines, to numbers of the batch.

use std::borrow::Cow;

use hashbrown::HashMap;
use plimsoll_engine::Batch;

use super::Reason;

/// Raw names that were seen in this body.
#[derive(Default)]
pub(super) struct Names<'a> {
    ids: HashMap<&'a [u8], u32>,
    last_field: Option<(&'a [u8], u32)>,
}

impl<'a> Names<'a> {
    /// The number of a measurement.
    pub(super) fn id(&mut self, raw: &'a [u8], batch: &mut Batch) -> Result<u32, Reason> {
        if let Some(id) = self.ids.get(raw) {
            return Ok(*id);
        }
        let name = unescape(raw);
        let name = std::str::from_utf8(&name).map_err(|_| Reason::KeyNotUtf8)?;
        let id = batch.name(name);
        self.ids.insert(raw, id);
        Ok(id)
    }

    /// The number of a field; most bodies have one, `value`, on every line.
    pub(super) fn field_id(&mut self, raw: &'a [u8], batch: &mut Batch) -> Result<u32, Reason> {
        if let Some((last, id)) = self.last_field
            && last == raw
        {
            return Ok(id);
        }
        let id = self.id(raw, batch)?;
        self.last_field = Some((raw, id));
        Ok(id)
    }
}

/// Takes away the `\` before `,` `"` `=` and space, the escapes of measurements and field keys.
pub(super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    unescape_bytes(raw, b",\" =")
}

/// Takes away the `\` before `,` `=` and space, the escapes of tags.
pub(super) fn unescape_tag(raw: &[u8]) -> Cow<'_, [u8]> {
    unescape_bytes(raw, b", =")
}

/// Takes away the `\` before `"` and `\`, the escapes of string values.
pub(super) fn unescape_string(raw: &[u8]) -> Cow<'_, [u8]> {
    unescape_bytes(raw, b"\"\\")
}

fn unescape_bytes<'b>(raw: &'b [u8], escaped: &[u8]) -> Cow<'b, [u8]> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'\\' && raw.get(at + 1).is_some_and(|next| escaped.contains(next)) {
            at += 1;
        }
        out.push(raw[at]);
        at += 1;
    }
    Cow::Owned(out)
}
