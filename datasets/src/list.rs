//! Many tasks in little memory.

use std::sync::Arc;

use crate::error::DatasetError;
use crate::task::Task;
use crate::template::Template;

/// Bytes of one block. Tasks that are larger have one of their own.
const BLOCK: usize = 16 << 20;

/// A list of tasks that is kept as text: about as many bytes as its file has, rather than several times that. A task is made of
/// it when it is asked for, within microseconds, and put by the list's template, if it has one. Clones share the text.
#[derive(Clone, Default)]
pub struct TaskList {
    kept: Arc<Kept>,
    template: Option<Arc<Template>>,
}

#[derive(Clone, Default)]
struct Kept {
    /// Tasks as JSON, one behind the other. A block is never longer than what was set aside for it, so nothing is moved.
    blocks: Vec<Vec<u8>>,
    places: Vec<Place>,
}

/// Where a task stands: its block and the bytes in it.
#[derive(Clone, Copy)]
struct Place {
    block: u32,
    start: u32,
    length: u32,
}

impl TaskList {
    /// A list without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same tasks, put by `template` when they are asked for.
    ///
    /// # Errors
    /// [`DatasetError::Template`] for the first task that it cannot put.
    pub fn put_by(self, template: Option<Template>) -> Result<Self, DatasetError> {
        let template = template.map(Arc::new);
        let list = Self { template, ..self };
        if list.template.is_some() {
            list.iter().try_for_each(|task| task.map(drop))?;
        }
        Ok(list)
    }

    /// Adds a task at the end.
    ///
    /// # Panics
    /// If the task takes four gigabytes or more.
    pub fn push(&mut self, task: &Task) {
        let text = serde_json::to_vec(task).expect("a task has a form in JSON");
        let Kept { blocks, places } = Arc::make_mut(&mut self.kept);
        let fits = |block: &Vec<u8>| block.len() + text.len() <= block.capacity();
        if !blocks.last().is_some_and(fits) {
            // A short list stays short: blocks grow to their full size.
            let size = blocks
                .last()
                .map_or(BLOCK / 1024, |last| last.capacity() * 4);
            blocks.push(Vec::with_capacity(size.min(BLOCK).max(text.len())));
        }
        let count = blocks.len();
        let block = blocks.last_mut().expect("one was just added");
        let small = |number: usize| u32::try_from(number).expect("a block is below four gigabytes");
        places.push(Place {
            block: small(count - 1),
            start: small(block.len()),
            length: small(text.len()),
        });
        block.extend_from_slice(&text);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.places.is_empty()
    }

    /// The task at `index`, from 0.
    ///
    /// # Errors
    /// [`DatasetError::Template`] if it cannot be put; [`Self::put_by`] has seen to it that all can.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn get(&self, index: usize) -> Result<Task, DatasetError> {
        let Place {
            block,
            start,
            length,
        } = self.kept.places[index];
        let text = &self.kept.blocks[block as usize][start as usize..][..length as usize];
        let task = serde_json::from_slice(text).expect("it was written by `push`");
        match &self.template {
            Some(template) => template.apply(task),
            None => Ok(task),
        }
    }

    /// All tasks, in their order, each made when it is its turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<Task, DatasetError>> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Bytes that are set aside for the tasks.
    pub fn bytes(&self) -> usize {
        let blocks: usize = self.kept.blocks.iter().map(Vec::capacity).sum();
        blocks + self.kept.places.capacity() * size_of::<Place>()
    }
}

impl FromIterator<Task> for TaskList {
    fn from_iter<I: IntoIterator<Item = Task>>(tasks: I) -> Self {
        let mut list = Self::new();
        for task in tasks {
            list.push(&task);
        }
        list
    }
}

impl From<Vec<Task>> for TaskList {
    fn from(tasks: Vec<Task>) -> Self {
        tasks.into_iter().collect()
    }
}

impl std::fmt::Debug for TaskList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TaskList({} tasks)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::message::{Message, Role};
    use crate::task::Prompt;

    #[test]
    fn tasks_come_back_as_they_were() {
        let call = json!([{"function": {"name": "f", "arguments": {"x": 0.1}}}]);
        let chat = Prompt::Chat(vec![
            Message::new(Role::User, "1?"),
            Message::new(Role::Assistant, "").with("tool_calls", call),
            Message::new(Role::Tool, "2\u{2028}\"\\").with("name", "f"),
        ]);
        let large = Task::new("large", Prompt::Text("x".repeat(BLOCK + 1)), "1");
        let tasks = vec![
            Task::new("a", Prompt::Text("[1]\n".to_owned()), "5")
                .with_column("numbers", json!([1e300, 0.1, -7])),
            large,
            Task::new("b", chat, " "),
        ];
        let list = TaskList::from(tasks.clone());
        assert_eq!(list.len(), 3);
        assert_eq!(list.iter().map(Result::unwrap).collect::<Vec<_>>(), tasks);
        assert_eq!(list.clone().get(2).unwrap(), tasks[2]);
    }

    #[test]
    fn a_template_puts_what_is_asked_for() {
        let list = TaskList::from(vec![
            Task::new("a", Prompt::Text("1+1".to_owned()), "2").with_column("hint", "x"),
            Task::new("b", Prompt::Text("1+2".to_owned()), "3"),
        ]);
        let template = |text: &str| {
            let config = serde_json::from_value(json!({ "text": text })).unwrap();
            Some(Template::from_config(&config).unwrap())
        };
        let put = list.clone().put_by(template("Q: {question}=")).unwrap();
        assert_eq!(
            put.get(1).unwrap().prompt,
            Prompt::Text("Q: 1+2=".to_owned())
        );
        assert_eq!(list.get(1).unwrap().prompt, Prompt::Text("1+2".to_owned()));
        let error = list.put_by(template("{hint}")).unwrap_err().to_string();
        assert!(
            error.starts_with("task b: the template has {hint}"),
            "{error}"
        );
    }

    #[test]
    fn a_list_takes_about_what_its_text_takes() {
        let task =
            |number: usize| Task::new(number.to_string(), Prompt::Text("y".repeat(500)), "7");
        let list: TaskList = (0..100_000).map(task).collect();
        let text = serde_json::to_string(&task(50_000)).unwrap().len() * list.len();
        // A place takes 12 bytes, a growing vector up to twice that, and a block of 16 MiB may be empty.
        assert!(
            list.bytes() < text + list.len() * 24 + BLOCK,
            "{} of {text}",
            list.bytes()
        );
        assert!(TaskList::from(vec![task(1)]).bytes() < 20_000);
    }
}
