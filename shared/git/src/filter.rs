//! Line endings and encodings by `.gitattributes`. Filters that start a program need configuration, and the mirror
//! has none, so an attribute can name what it likes.

use gix::bstr::{BStr, ByteSlice};
use gix::filter::plumbing::pipeline::convert::to_worktree;

use crate::error::Error;
use crate::tree::as_path;

/// Converts between blobs and files by the attributes of one commit's tree.
pub(crate) struct Filter<'repo> {
    pipeline: gix::filter::Pipeline<'repo>,
    index: gix::worktree::IndexPersistedOrInMemory,
}

impl<'repo> Filter<'repo> {
    pub(crate) fn new(repo: &'repo gix::Repository, tree: gix::ObjectId) -> Result<Self, Error> {
        let (pipeline, index) = repo.filter_pipeline(Some(tree)).map_err(Error::damaged)?;
        Ok(Self { pipeline, index })
    }

    /// The file for a blob.
    pub(crate) fn file_of(&mut self, blob: &[u8], path: &BStr) -> Result<Vec<u8>, Error> {
        let options = to_worktree::Options {
            can_delay: gix::filter::plumbing::driver::apply::Delay::Forbid,
            // A repository names an encoding nobody knows: the bytes as they are serve better than no file.
            unknown_encoding: to_worktree::UnknownEncoding::Ignore,
        };
        let mut converted = self
            .pipeline
            .convert_to_worktree(blob, path, options)
            .map_err(|error| unfit(path, &error))?;
        if let Some(bytes) = converted.as_bytes() {
            return Ok(bytes.to_owned());
        }
        let mut bytes = Vec::new();
        if let Some(stream) = converted.as_read() {
            stream
                .read_to_end(&mut bytes)
                .map_err(Error::io("converting a file"))?;
        }
        Ok(bytes)
    }

    /// The blob for a file.
    pub(crate) fn blob_of(&mut self, file: &[u8], path: &BStr) -> Result<Vec<u8>, Error> {
        let mut converted = self
            .pipeline
            .convert_to_git(file, as_path(path), &self.index)
            .map_err(|error| unfit(path, &error))?;
        if let Some(bytes) = converted.as_bytes() {
            return Ok(bytes.to_owned());
        }
        let mut bytes = Vec::new();
        if let Some(stream) = converted.as_read() {
            stream
                .read_to_end(&mut bytes)
                .map_err(Error::io("converting a file"))?;
        }
        Ok(bytes)
    }
}

fn unfit(path: &BStr, error: &gix::Error) -> Error {
    Error::Invalid(format!(
        "{} cannot be converted by its attributes: {error}",
        path.as_bytes().escape_ascii()
    ))
}
