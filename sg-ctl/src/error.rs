//! Errors that carry their mend.

use std::fmt;

use crate::datapath::DatapathError;
use crate::host::Failure;
use crate::policy::edit::EditError;
use crate::store::StoreError;
use crate::store::lock::LockError;
use crate::transaction::TransactionError;

/// An error with what the user can do about it.
#[derive(Debug)]
struct WithHelp {
    message: String,
    help: String,
}

impl fmt::Display for WithHelp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WithHelp {}

/// An error of a message and its mend.
pub fn refuse(message: impl Into<String>, help: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(WithHelp { message: message.into(), help: help.into() })
}

/// The first mend in an error's chain.
#[must_use]
pub fn help(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(own) = cause.downcast_ref::<WithHelp>() {
            return Some(own.help.clone());
        }
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return help(&failure.0);
        }
        if let Some(edit) = cause.downcast_ref::<EditError>() {
            return Some(edit.help.clone());
        }
        cause
            .downcast_ref::<DatapathError>()
            .and_then(DatapathError::help)
            .or_else(|| cause.downcast_ref::<TransactionError>().and_then(TransactionError::help))
            .or_else(|| cause.downcast_ref::<StoreError>().and_then(StoreError::help))
            .or_else(|| cause.downcast_ref::<LockError>().and_then(LockError::help))
    })
}

/// What led to an error, from the outermost to the innermost, without the error itself.
#[must_use]
pub fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut last = error.to_string();
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        // Layers that only carry another error say the same again.
        if depth > 0 && text != last {
            causes.push(text.clone());
        }
        if let Some(edit) = cause.downcast_ref::<EditError>() {
            causes.extend(edit.causes.iter().cloned());
        }
        last = text;
    }
    causes
}
