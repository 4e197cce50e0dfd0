//! Labels of pods and containers to tags: one joined tag, chosen ones as tags of their own, and
//! those that are dropped.
//!
//! Labels are what makes series explode: a hash in a label is a new series with every rollout. So
//! the joined tag leaves out what is on the drop-list, and nothing is a tag of its own unless it
//! was asked for.
//!
//! ```
//! use plimsoll_ingest::labels::LabelRules;
//!
//! let rules = LabelRules {
//!     tags: vec!["app".to_owned()],
//!     drop: vec!["pod-template-hash".to_owned(), "batch.kubernetes.io/*".to_owned()],
//!     ..LabelRules::default()
//! };
//! let labels = [("tier", "web"), ("app", "shop"), ("pod-template-hash", "6cd8d9")];
//! let tags = rules.tags_of(labels);
//! assert_eq!(tags[0], ("labels".to_owned(), "app:shop,tier:web".to_owned()));
//! assert_eq!(tags[1], ("app".to_owned(), "shop".to_owned()));
//! ```

/// The tag of all labels together.
pub const JOINED_TAG: &str = "labels";
/// Joined labels are cut behind the last whole one within this.
pub const JOINED_BYTES_MAX: usize = 4096;
/// A label longer than this is no tag; Kubernetes itself allows 63.
pub const LABEL_BYTES_MAX: usize = 1024;

/// Whether labels stand in one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Joined {
    /// As `labels`, sorted `k:v`.
    #[default]
    Tag,
    /// Not at all.
    Off,
}

impl std::str::FromStr for Joined {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "joined" => Ok(Self::Tag),
            "off" => Ok(Self::Off),
            _ => Err(format!("`{text}` is none of joined and off")),
        }
    }
}

/// What becomes of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRules {
    /// Whether there is a tag `labels`.
    pub joined: Joined,
    /// What stands between labels in it: Heapster's `labelSeparator`.
    pub separator: String,
    /// Labels that become tags of the same name, besides; a `*` at the end stands for the rest.
    pub tags: Vec<String>,
    /// Labels that are dropped; a `*` at the end stands for the rest.
    pub drop: Vec<String>,
}

impl Default for LabelRules {
    fn default() -> Self {
        Self {
            joined: Joined::Tag,
            separator: ",".to_owned(),
            tags: Vec::new(),
            drop: Vec::new(),
        }
    }
}

impl LabelRules {
    /// The tags that `labels` become, the joined one first.
    ///
    /// A label that is on both lists is a tag and not in the joined one.
    pub fn tags_of<'a>(
        &self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Vec<(String, String)> {
        let mut labels: Vec<_> = labels
            .into_iter()
            .filter(|(key, value)| {
                !key.is_empty() && key.len() + value.len() <= LABEL_BYTES_MAX && *key != "time"
            })
            .collect();
        labels.sort_unstable();
        let mut tags = Vec::new();
        if self.joined == Joined::Tag {
            let mut joined = String::new();
            for (key, value) in labels.iter().filter(|(key, _)| !any(&self.drop, key)) {
                let separator = match joined.is_empty() {
                    true => "",
                    false => self.separator.as_str(),
                };
                if joined.len() + separator.len() + key.len() + value.len() >= JOINED_BYTES_MAX {
                    break;
                }
                joined.push_str(separator);
                joined.push_str(key);
                joined.push(':');
                joined.push_str(value);
            }
            if !joined.is_empty() {
                tags.push((JOINED_TAG.to_owned(), joined));
            }
        }
        let own = labels.iter().filter(|(key, _)| any(&self.tags, key));
        tags.extend(own.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        tags
    }
}

/// Whether one of the patterns is `key`, or its beginning where it ends in `*`.
pub(crate) fn any(patterns: &[String], key: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => pattern == key,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [(&str, &str); 4] = [
        ("tier", "web"),
        ("app", "shop"),
        ("batch.kubernetes.io/job-name", "j-1"),
        ("empty", ""),
    ];

    #[test]
    fn labels_are_sorted_and_joined_as_heapster_does() {
        let tags = LabelRules::default().tags_of(LABELS);
        let joined = "app:shop,batch.kubernetes.io/job-name:j-1,empty:,tier:web";
        assert_eq!(tags, [("labels".to_owned(), joined.to_owned())]);
    }

    #[test]
    fn a_separator_a_drop_list_and_an_allow_list_are_obeyed() {
        let rules = LabelRules {
            separator: "|".to_owned(),
            tags: vec!["app".to_owned(), "batch.*".to_owned()],
            drop: vec!["batch.*".to_owned(), "empty".to_owned()],
            ..LabelRules::default()
        };
        let tags = rules.tags_of(LABELS);
        let text: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            text,
            [
                "labels=app:shop|tier:web",
                "app=shop",
                "batch.kubernetes.io/job-name=j-1"
            ]
        );
        let off = LabelRules {
            joined: Joined::Off,
            ..LabelRules::default()
        };
        assert!(off.tags_of(LABELS).is_empty());
    }

    #[test]
    fn what_is_too_long_harms_no_other_label() {
        let long = "x".repeat(LABEL_BYTES_MAX);
        let many: Vec<String> = (0..1_000).map(|n| format!("label-{n:04}")).collect();
        let labels = many.iter().map(|key| (key.as_str(), "value"));
        let tags = LabelRules::default().tags_of(labels.chain([("huge", long.as_str())]));
        assert!(tags[0].1.len() <= JOINED_BYTES_MAX);
        assert!(tags[0].1.starts_with("label-0000:value,label-0001:value"));
        assert!(tags[0].1.ends_with(":value"), "cut behind a whole label");
    }
}
