//! Everything that can go wrong with a data set.

use std::path::PathBuf;

use crate::place::Place;
use crate::split::Split;

/// Why tasks or demonstrations could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A setting of a generator, a trace mix or a reader is out of its range.
    #[error("{setting} is {value}: expected {expected}")]
    InvalidSetting {
        /// The setting's name as it is written in a config.
        setting: String,
        /// The value it has.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// The share of training done is not between 0 and 1.
    #[error("training progress is {progress}: expected a number from 0 to 1")]
    InvalidProgress {
        /// The value given.
        progress: f64,
    },
    /// A generator found no problem on the wanted side of the split.
    #[error(
        "{generator}: no {split} problem in {attempts} draws; widen its ranges or change heldout_fraction"
    )]
    SplitExhausted {
        /// The generator's name.
        generator: &'static str,
        /// The side that was wanted.
        split: Split,
        /// How many problems were drawn.
        attempts: u32,
    },
    /// A generator has fewer held-out problems than asked for.
    #[error(
        "{generator}: {requested} distinct held-out problems wanted, {found} found; widen its ranges, raise heldout_fraction or ask for fewer"
    )]
    NotEnoughHeldout {
        /// The generator's name.
        generator: &'static str,
        /// How many were asked for.
        requested: usize,
        /// How many there are, as far as drawing can tell.
        found: usize,
    },
    /// Only some generators can write demonstrations.
    #[error(
        "{generator} writes no demonstrations; chain-sum, countdown and program do, or read them from a JSON-lines file"
    )]
    NoDemonstrations {
        /// The generator's name.
        generator: &'static str,
    },
    /// A cursor that this source cannot have produced.
    #[error("cursor (epoch {epoch}, index {index}) is outside a source of {len} tasks per epoch")]
    InvalidCursor {
        /// The cursor's epoch.
        epoch: u64,
        /// The cursor's index within the epoch.
        index: u64,
        /// Tasks per epoch.
        len: u64,
    },
    /// A cursor of another kind of source.
    #[error(
        "the saved place in the data is one in {saved_by}, which is no place in {wanted}; hint: go on with the config and the data that the run began with"
    )]
    ForeignCursor {
        /// What left it, such as `a mixture`.
        saved_by: String,
        /// What was to be put there, such as `a file`.
        wanted: String,
    },
    /// A cursor whose state is not one that this source, with these tasks and settings, can have left.
    #[error(
        "the saved place in {saved_by} does not fit: {reason}; hint: go on with the config and the data that the run began with"
    )]
    CursorState {
        /// What left it, such as `a mixture`.
        saved_by: String,
        /// What does not fit.
        reason: String,
    },
    /// A template speaks of a column that a task does not have.
    #[error(
        "task {task}: the template has {{{placeholder}}}, and the task has no such column; there are: {columns} (the answer is never shown; {{{{{placeholder}}}}} writes the word in braces)"
    )]
    Template {
        /// The task's id.
        task: String,
        /// The name in braces.
        placeholder: String,
        /// The columns that the task has.
        columns: String,
    },
    /// A task has a column that a mixture needs for itself.
    #[error(
        "task {task}: it has a column `{column}`, where a mixture writes its entry's name; rename it in the file"
    )]
    ReservedColumn {
        /// The task's id.
        task: String,
        /// The column.
        column: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file has no records.
    #[error("{}: no records in this file", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file that holds no rows, or none that can be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what can be done.
        reason: String,
    },
    /// The files of a data set cannot be told from what else there is.
    #[error("{origin}: {reason}")]
    Files {
        /// The directory, or the name on the hub.
        origin: String,
        /// What is wrong, and what there is.
        reason: String,
    },
    /// A row cannot be read: it is no JSON object in UTF-8, or no row of its table.
    #[error("{place}: {reason}")]
    Line {
        /// Where it stands.
        place: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// No known format has these fields, or the rows are of different formats.
    #[error(
        "{place}: the fields {fields} fit none of the formats {known} that the lines before it leave; hint: name the format, or describe the fields in a config with [data.fields]"
    )]
    UnknownFormat {
        /// The first row that rules out the last format.
        place: Place,
        /// Its fields.
        fields: String,
        /// The formats there are.
        known: String,
    },
    /// The fields of a data set have none of the names that are known.
    #[error("{place}: {what} with the fields {fields}; hint: {hint}")]
    UnknownFields {
        /// The first row.
        place: Place,
        /// What cannot be told.
        what: &'static str,
        /// Its fields.
        fields: String,
        /// What can be done.
        hint: String,
    },
    /// A row has another form than those before it.
    #[error("{place}: this {unit} is {form}, and those before it are {before}; it has the fields {fields}", unit = place.unit())]
    FormChanges {
        /// The first row that differs.
        place: Place,
        /// Its form.
        form: String,
        /// The form, or forms, of the first rows.
        before: String,
        /// Its fields.
        fields: String,
    },
    /// A field of a record is absent or not what it should be.
    #[error("{place}: field `{field}`: {reason}")]
    Field {
        /// Where the record stands.
        place: Place,
        /// The field's name in the file.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}
