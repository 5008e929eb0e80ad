//! The order of modules that ARCHITECTURE.md writes down under "Layers": a module uses what stands in layers below its own,
//! never what stands beside or above. A crate's root may use everything.
//!
//! The tables of that section are what is checked: a subsection `### NAME` for the crate in the folder `NAME`, whose rows
//! name the modules of a layer in backticks in their second column, lowest first. What is read is text, not meaning: paths
//! that begin with `crate` or `super`, outside of comments, strings and items behind `#[cfg(test)]`. A `super` within a
//! module that is written inside of a file is taken for one of the file's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Crates whose order has to be written down.
const ORDERED: [&str; 4] = ["datasets", "rewards", "rl", "sandbox"];

/// The layers of a crate, lowest first.
type Layers = Vec<Vec<String>>;

/// The path of a module or an item below the crate's root, and the line where it is named.
pub(crate) type Use = (Vec<String>, usize);

/// The layers by crate, as the document has them.
fn written_layers(document: &str) -> BTreeMap<String, Layers> {
    let section = document.split("\n## Layers").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut layers: BTreeMap<String, Layers> = BTreeMap::new();
    let mut current = None;
    for line in section.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            current = Some(name.trim().to_owned());
        }
        let Some(name) = &current else { continue };
        let modules = line.split('|').nth(2).unwrap_or_default();
        let modules: Vec<String> = modules
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        if !modules.is_empty() {
            layers.entry(name.clone()).or_default().push(modules);
        }
    }
    layers
}

/// What is wrong with the uses in `files`: paths below `src` with their text.
fn violations(layers: &Layers, files: &[(PathBuf, String)]) -> Vec<String> {
    let mut layer_of: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (layer, modules) in layers.iter().enumerate() {
        for module in modules {
            if layer_of.insert(module, layer).is_some() {
                wrong.push(format!("{module} stands in two layers"));
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (path, text) in files {
        let module = module_of(path);
        let Some(own) = module.first() else { continue };
        seen.insert(own.clone());
        let Some(&layer) = layer_of.get(own.as_str()) else {
            wrong.push(format!("{}: {own} stands in no layer", path.display()));
            continue;
        };
        for (target, line) in uses(&plain(text), &module) {
            let Some(used) = target.first().filter(|used| *used != own) else {
                continue;
            };
            let place = format!("{}:{line}", path.display());
            match layer_of.get(used.as_str()) {
                Some(&below) if below < layer => {}
                Some(&other) => {
                    let where_it_is = if other == layer { "beside" } else { "above" };
                    wrong.push(format!("{place}: {own} uses {used}, which stands {where_it_is} it"));
                }
                None => wrong.push(format!(
                    "{place}: {own} names {used} through the crate's root; hint: name the module that it is from"
                )),
            }
        }
    }
    let absent = layer_of.keys().filter(|module| !seen.contains(**module));
    wrong.extend(absent.map(|module| format!("there is no module {module}")));
    wrong
}

/// `a/b/mod.rs` and `a/b.rs` are the module `a::b`; the root has no name.
pub(crate) fn module_of(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let mut parts: Vec<String> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if matches!(
        parts.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        parts.pop();
    }
    parts
}

/// The text with blanks for comments, for the content of strings and for items behind `#[cfg(test)]`, line by line as before.
pub(crate) fn plain(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out: Vec<char> = Vec::with_capacity(characters.len());
    let mut at = 0;
    while at < characters.len() {
        let end = match characters[at..] {
            ['/', '/', ..] => end_of(&characters, at, |rest| rest[0] == '\n', 0),
            ['/', '*', ..] => end_of(&characters, at + 2, |rest| rest.starts_with(&['*', '/']), 2),
            ['"', ..] => end_of_string(&characters, at),
            ['r', '"' | '#', ..] if !out.last().is_some_and(|c| is_word(*c)) => {
                end_of_raw_string(&characters, at)
            }
            // Quotes and slashes as characters, not as the ends of strings.
            ['\'', '\\', _, '\'', ..] => at + 4,
            ['\'', _, '\'', ..] => at + 3,
            _ => at + 1,
        };
        let keep = end == at + 1;
        out.extend(characters[at..end].iter().map(|c| match c {
            '\n' => '\n',
            c if keep => *c,
            _ => ' ',
        }));
        at = end;
    }
    without_tests(out)
}

/// Where what begins at `from` ends: `width` characters after the first place at which `ends` holds.
fn end_of(text: &[char], from: usize, ends: impl Fn(&[char]) -> bool, width: usize) -> usize {
    let found = (from..text.len()).find(|&at| ends(&text[at..]));
    found.map_or(text.len(), |at| at + width)
}

fn end_of_string(text: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The end of `r"…"` or `r#"…"#`; one character on if it is none, such as `r#type`.
fn end_of_raw_string(text: &[char], from: usize) -> usize {
    let hashes = text[from + 1..].iter().take_while(|c| **c == '#').count();
    if text.get(from + 1 + hashes) != Some(&'"') {
        return from + 1;
    }
    let mut close = vec!['"'];
    close.resize(1 + hashes, '#');
    end_of(
        text,
        from + 2 + hashes,
        |rest| rest.starts_with(&close),
        1 + hashes,
    )
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Blanks what stands behind `#[cfg(test)]` and its relatives, up to the end of the item.
fn without_tests(mut text: Vec<char>) -> String {
    let mark: Vec<char> = "#[cfg(".chars().collect();
    let mut at = 0;
    while at < text.len() {
        if !text[at..].starts_with(&mark) {
            at += 1;
            continue;
        }
        let condition_end = end_of(&text, at, |rest| rest[0] == ']', 1);
        let condition: String = text[at..condition_end].iter().collect();
        if !["#[cfg(test", "#[cfg(all(test"]
            .iter()
            .any(|test| condition.starts_with(test))
        {
            at = condition_end;
            continue;
        }
        let end = end_of_item(&text, condition_end);
        for c in &mut text[at..end] {
            if *c != '\n' {
                *c = ' ';
            }
        }
        at = end;
    }
    text.into_iter().collect()
}

/// The end of the item that begins at `from`: its closing brace, or a semicolon before any brace.
fn end_of_item(text: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.iter().enumerate().skip(from) {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The paths in `text`, a file of `module`, that begin with `crate` or `super`, below the crate's root.
pub(crate) fn uses(text: &str, module: &[String]) -> Vec<Use> {
    let words = words(text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (word, _) = &words[at];
        let begins = (word == "crate" || word == "super")
            && words.get(at + 1).is_some_and(|(next, _)| next == "::")
            && (at == 0 || words[at - 1].0 != "::");
        if !begins {
            at += 1;
            continue;
        }
        let base = if word == "crate" {
            Vec::new()
        } else {
            module[..module.len().saturating_sub(1)].to_vec()
        };
        at = paths(&words, at + 2, base, &mut found);
    }
    found
}

/// Reads the tree of paths at `at`, which goes on from `base`; returns where it ends.
fn paths(
    words: &[(String, usize)],
    at: usize,
    mut base: Vec<String>,
    found: &mut Vec<Use>,
) -> usize {
    let Some((word, line)) = words.get(at) else {
        return at;
    };
    if word == "{" {
        let mut at = at + 1;
        while words.get(at).is_some_and(|(word, _)| word != "}") {
            at = paths(words, at, base.clone(), found);
            // What is left of the item, such as `as name`.
            while words
                .get(at)
                .is_some_and(|(word, _)| word != "}" && word != ",")
            {
                at += 1;
            }
            at += usize::from(words.get(at).is_some_and(|(word, _)| word == ","));
        }
        return at + 1;
    }
    match word.as_str() {
        "super" => {
            base.pop();
        }
        "self" => {}
        name => base.push(name.to_owned()),
    }
    let goes_on = words.get(at + 1).is_some_and(|(next, _)| next == "::")
        && words
            .get(at + 2)
            .is_some_and(|(next, _)| next == "{" || next.chars().all(is_word));
    if goes_on {
        return paths(words, at + 2, base, found);
    }
    found.push((base, *line));
    at + 1
}

/// Words, `::` and single characters, each with its line, from 1.
fn words(text: &str) -> Vec<(String, usize)> {
    let mut words: Vec<(String, usize)> = Vec::new();
    let mut line = 1;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let mut word = c.to_string();
        if is_word(c) {
            while let Some(next) = characters.next_if(|next| is_word(*next)) {
                word.push(next);
            }
        } else if c == ':' && characters.next_if_eq(&':').is_some() {
            word.push(':');
        }
        line += usize::from(c == '\n');
        if !c.is_whitespace() {
            words.push((word, line));
        }
    }
    words
}

/// The source files of the crate in `folder`, without those of tests: paths below `src` with their text.
pub(crate) fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    fn collect(dir: &Path, src: &Path, files: &mut Vec<(PathBuf, String)>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            // Binaries are crates of their own.
            let apart = |stem: &std::ffi::OsStr| stem == "tests" || stem == "bin";
            let of_tests = path.file_stem().is_some_and(apart);
            if path.is_dir() && !of_tests {
                collect(&path, src, files);
            } else if path.extension().is_some_and(|e| e == "rs") && !of_tests {
                let below = path.strip_prefix(src).unwrap().to_owned();
                files.push((below, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let src = folder.join("src");
    let mut files = Vec::new();
    collect(&src, &src, &mut files);
    files
}

#[test]
fn every_module_uses_only_what_stands_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let layers = written_layers(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    for name in ORDERED {
        assert!(
            layers.contains_key(name),
            "no layers of {name} in ARCHITECTURE.md"
        );
    }
    let mut wrong = Vec::new();
    for (name, layers) in &layers {
        let found = violations(layers, &sources(&root.join(name)));
        wrong.extend(found.into_iter().map(|found| format!("{name}/src/{found}")));
    }
    assert!(
        wrong.is_empty(),
        "{}\nhint: ARCHITECTURE.md, section Layers, has the order; move what is used down, or what uses it up",
        wrong.join("\n")
    );
}

#[test]
fn what_breaks_the_order_is_found_with_its_line() {
    let document = "# Map\n## Layers\n### toy\n| | modules | |\n|---|---|---|\n| 1 | `ground`, `soil` | |\n| 2 | `house` | |\n| 3 | `roof` | |\n## Next\n### no\n| 1 | `x` | |\n";
    let layers = written_layers(document);
    assert_eq!(layers.keys().collect::<Vec<_>>(), ["toy"]);
    let violations_in = |files: &[(&str, &str)]| {
        let files: Vec<(PathBuf, String)> = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect();
        violations(&layers["toy"], &files)
    };
    let fine = [
        ("lib.rs", "mod ground;\npub use roof::Tile;\n"),
        (
            "ground.rs",
            "// crate::roof\nconst TEXT: &str = \"crate::roof\";\n",
        ),
        ("soil/mod.rs", "pub(crate) fn dig() {}\n"),
        (
            "house/mod.rs",
            "mod cellar;\nuse crate::ground::{self, Stone as Rock};\n#[cfg(test)]\nmod tests {\n    use crate::roof::Tile;\n}\n",
        ),
        (
            "house/cellar.rs",
            "use super::Wall;\nuse super::super::soil::dig;\nconst QUOTE: char = '\"'; const RAW: &str = r#\"crate::roof \" \"#;\n",
        ),
        (
            "roof.rs",
            "fn build() { crate::house::Wall::<u8>::new(); }\n",
        ),
    ];
    assert_eq!(violations_in(&fine), Vec::<String>::new());

    let mut broken = fine;
    broken[1].1 = "\nuse crate::{\n    soil::dig,\n    house::{Wall, cellar::Shelf},\n};\n";
    broken[4].1 =
        "fn rain() {\n    super::super::roof::leak();\n    let wall = crate::Wall::new();\n}\n";
    assert_eq!(
        violations_in(&broken),
        [
            "ground.rs:3: ground uses soil, which stands beside it",
            "ground.rs:4: ground uses house, which stands above it",
            "ground.rs:4: ground uses house, which stands above it",
            "house/cellar.rs:2: house uses roof, which stands above it",
            "house/cellar.rs:3: house names Wall through the crate's root; hint: name the module that it is from",
        ]
    );
    assert_eq!(violations_in(&fine[..5]), ["there is no module roof"]);
    let stray = violations_in(&[fine[1], fine[2], fine[3], fine[5], ("shed.rs", "")]);
    assert_eq!(stray, ["shed.rs: shed stands in no layer"]);
}
