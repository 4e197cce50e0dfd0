//! Pages that are rendered once for many nodes: a copy of a template gets the node's name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use plimsoll_engine::Timestamp;

use super::model::Shape;
use super::pages::Page;

/// How many nodes are unlike; all others are as one of these but for their names.
const VARIANTS: usize = 16;
/// Templates are rendered with this number plus the variant, and the digits are found by it.
const MARK: usize = 9_900;
/// Digits of a node's number in names.
const DIGITS: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Templates(Mutex<HashMap<(Page, usize), Arc<Template>>>);

#[derive(Debug)]
struct Template {
    tick: u64,
    text: Vec<u8>,
    /// Where the digits of the node's number stand.
    places: Vec<usize>,
}

impl Templates {
    /// A page of a node at a tick.
    pub(super) fn body(
        &self,
        shape: &Shape,
        page: Page,
        node: usize,
        tick: u64,
        time: Timestamp,
    ) -> Vec<u8> {
        let template = self.template(shape, page, node % VARIANTS, tick, time);
        let mut body = template.text.clone();
        let digits = format!("{node:0DIGITS$}");
        for place in &template.places {
            body[*place..*place + DIGITS].copy_from_slice(digits.as_bytes());
        }
        body
    }

    fn template(
        &self,
        shape: &Shape,
        page: Page,
        variant: usize,
        tick: u64,
        time: Timestamp,
    ) -> Arc<Template> {
        // A panic while it was held cannot have left it half changed.
        let mut templates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = templates.get(&(page, variant))
            && known.tick == tick
        {
            return Arc::clone(known);
        }
        let node = MARK + variant;
        let text = page.render(shape, node, tick, time);
        let places = ["node-", "pod-"].iter().flat_map(|before| {
            let mark = format!("{before}{node}");
            let found: Vec<usize> = text
                .match_indices(&mark)
                .map(|(at, _)| at + before.len())
                .collect();
            found
        });
        let template = Arc::new(Template {
            tick,
            places: places.collect(),
            text: text.into_bytes(),
        });
        templates.insert((page, variant), Arc::clone(&template));
        template
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_template_has_the_nodes_names_and_no_others() {
        let shape = Shape::default();
        let templates = Templates::default();
        for page in [Page::Summary, Page::Cadvisor, Page::Resource, Page::Pods] {
            for node in [3, 19, 4_999] {
                let body = templates.body(&shape, page, node, 7, Timestamp(0));
                let text = String::from_utf8(body).unwrap();
                let name = format!("pod-{node:04}-001-");
                assert!(text.contains(&name), "{page:?}");
                assert!(!text.contains("-99"), "{page:?}: {text}");
            }
        }
    }
}
