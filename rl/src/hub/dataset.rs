//! The files of a data set on the hub.

use dunwu_datasets::{DataFiles, Part};

use super::{Environment, HubError, HubName, Repository};

/// Makes sure that the files of a part of a data set are in the cache, and says which they are.
///
/// # Errors
/// [`HubError`]: there is no such data set or part, or its files cannot be had.
pub fn fetch(
    environment: &Environment,
    name: &HubName,
    part: &Part,
) -> Result<DataFiles, HubError> {
    let repository = Repository::dataset(environment, name);
    let listing = repository.list()?;
    let names: Vec<String> = listing.files.iter().cloned().collect();
    let chosen = DataFiles::choose(&name.to_string(), &names, part)?;
    let fetched = chosen.iter().map(|file| repository.fetch(&listing, file));
    let paths = fetched.collect::<Result<_, _>>()?;
    Ok(DataFiles::new(name.to_string(), paths))
}
