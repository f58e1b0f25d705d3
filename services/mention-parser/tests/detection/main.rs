//! Mention detection as people meet it: the documented forms, the CommonMark specification, hostile text.

mod commonmark;
mod hostile;
mod vectors;
