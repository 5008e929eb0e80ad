//! `dunwu data show`.

use std::path::PathBuf;

use clap::Args;
use dunwu::{
    bundle::{Bundle, Codec, ModelSection},
    config::{self, RunConfig},
    device::{self, DeviceChoice},
    stages::{StageConfig, examples},
    tasks::{files, section::SourceConfig},
};
use dunwu_datasets::{
    DataFiles, DataFormat, DatasetError, Example, ExampleForm, Examples, Part, Place, PromptStyle,
    Task, TaskForm, Template, describe_file, recognise_examples, recognise_tasks,
};

use super::super::{Failure, model::print_json, usage};
use super::report::{Lengths, Limit, Report, Shown};

/// Say what a data set is, and show its first rows as the model would see them
///
/// Reads every row, so that what it says holds for all of them: what was recognised, how long prompts or examples are, and what would
/// be left out. With a config, its fields, template, model and lengths are those of the run.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A file, a directory of shards, or owner/name on the hub, perhaps with @revision; without it, that of the config
    name: Option<PathBuf>,
    /// The config of a run
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a key of the config
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    overrides: Vec<String>,
    /// Which of several data sets in that place, as the hub's configs are
    #[arg(long)]
    subset: Option<String>,
    /// Which split; train unless given, where there are several
    #[arg(long)]
    split: Option<String>,
    /// The benchmark whose file it is; found by its fields unless said
    #[arg(long)]
    format: Option<String>,
    /// Show examples for supervised fine-tuning, also where the rows are tasks
    #[arg(long)]
    sft: bool,
    /// The model whose tokenizer and chat template are used
    #[arg(long)]
    model: Option<String>,
    /// Rows to show
    #[arg(long, default_value_t = 3)]
    rows: usize,
    /// Rows to read; 0 for all
    #[arg(long, default_value_t = 0)]
    count: usize,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// What rows are read as.
enum Reading {
    /// Problems, put by this template.
    Tasks(TaskForm, Option<Template>),
    /// Examples to learn from.
    Examples(Vec<ExampleForm>),
}

impl Show {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = match &self.config {
            Some(path) => Some(config::load(path, &self.overrides)?),
            None => None,
        };
        let source = config.as_ref().map(|config| config.data.source());
        let source = source.filter(|source| source.file.is_some());
        let of_stage = config.as_ref().and_then(sft_file);
        let (name, part) = self.place(source.as_ref(), of_stage.as_ref())?;
        let files = files::find(&name, &part).map_err(usage)?;
        let own = source.filter(|source| source.file == Some(name.as_path()));
        let as_examples =
            self.sft || (own.is_none() && of_stage.is_some_and(|(file, _)| file == name));
        let reading = self.reading(&files, own.as_ref(), as_examples)?;
        let codec = self.codec(config.as_ref())?;
        let limit = codec
            .as_ref()
            .map(|(_, context)| limit(config.as_ref(), &reading, *context));
        let container = describe_file(&files.paths()[0]).map_err(usage)?;
        let lengths = Lengths::of(codec.is_some());
        let mut report = Report::new(&files, container, reading.to_string(), lengths, limit);
        let read = self.read(
            &files,
            &reading,
            codec.as_ref().map(|(codec, _)| codec),
            &mut report,
        );
        if let Err(error) = &read {
            report.stop(error);
        }
        report.finish();
        if self.json {
            print_json(&report)?;
        } else {
            report.print()?;
        }
        read.map_err(usage)
    }

    /// What is to be shown: what was named, or what the config names.
    fn place(
        &self,
        source: Option<&SourceConfig>,
        of_stage: Option<&(PathBuf, Part)>,
    ) -> Result<(PathBuf, Part), Failure> {
        let named = Part::new(self.subset.clone(), self.split.clone());
        if let Some(name) = &self.name {
            return Ok((name.clone(), named));
        }
        let of_data =
            source.and_then(|source| Some((source.file?.to_owned(), source.part.clone())));
        let found = if self.sft {
            of_stage.cloned().or(of_data)
        } else {
            of_data.or_else(|| of_stage.cloned())
        };
        found.ok_or_else(|| {
            usage("there is no data set to show; hint: name a file or a data set, or a --config with data.file or a stage's file")
        })
    }

    fn reading(
        &self,
        files: &DataFiles,
        source: Option<&SourceConfig>,
        as_examples: bool,
    ) -> Result<Reading, Failure> {
        if as_examples {
            return Ok(Reading::Examples(recognise_examples(files).map_err(usage)?));
        }
        let format = match &self.format {
            Some(name) => Some(format_named(name)?),
            None => source.and_then(|source| source.format),
        };
        let fields = source.and_then(|source| source.fields);
        let form = match (format, fields) {
            (Some(format), _) => Ok(TaskForm::Benchmark(format)),
            (None, Some(fields)) => Ok(TaskForm::Fields(fields.clone())),
            (None, None) => recognise_tasks(files),
        };
        let form = match form {
            Ok(form) => form,
            Err(error @ DatasetError::UnknownFields { .. }) => {
                // What holds no problem and its answer may still be learnt from.
                return match recognise_examples(files) {
                    Ok(forms) => Ok(Reading::Examples(forms)),
                    Err(_) => Err(usage(error)),
                };
            }
            Err(error) => return Err(usage(error)),
        };
        let own = source.and_then(|source| source.template).cloned();
        let of_format = match &form {
            TaskForm::Benchmark(format) => Some(format.template(PromptStyle::Chat)),
            TaskForm::Fields(_) => None,
        };
        let template = own.or(of_format);
        let template = template.as_ref().map(Template::from_config).transpose();
        Ok(Reading::Tasks(form, template.map_err(usage)?))
    }

    /// Text to tokens, and the longest sequence, if a model is named.
    fn codec(&self, config: Option<&RunConfig>) -> Result<Option<(Codec, usize)>, Failure> {
        if let Some(spec) = &self.model {
            return Ok(Some(Codec::open(spec)?));
        }
        Ok(match config.map(|config| &config.model) {
            None => None,
            Some(ModelSection::Pretrained(model)) => Some(Codec::open(&model.place()?)?),
            Some(section @ ModelSection::Scratch(_)) => {
                let chosen = device::choose(DeviceChoice::Flex)?;
                let bundle = Bundle::from_section(section, 0, &chosen.device)?;
                let context = bundle.model.config().max_position_embeddings;
                Some((bundle.codec, context))
            }
        })
    }

    /// Reads the rows into the report, up to the first that cannot be.
    fn read(
        &self,
        files: &DataFiles,
        reading: &Reading,
        codec: Option<&Codec>,
        report: &mut Report,
    ) -> Result<(), String> {
        let count = match self.count {
            0 => usize::MAX,
            count => count,
        };
        match reading {
            Reading::Tasks(form, template) => {
                let tasks = form.tasks(files).map_err(|error| error.to_string())?;
                for task in tasks.take(count) {
                    let task = task.map_err(|error| error.to_string())?;
                    let columns: Vec<String> = task.columns.keys().cloned().collect();
                    let task = match template {
                        Some(template) => {
                            template.apply(task).map_err(|error| error.to_string())?
                        }
                        None => task,
                    };
                    report.add_columns(columns);
                    let shown = shown_task(&task, codec)?;
                    report.add(shown, self.rows);
                }
            }
            Reading::Examples(_) => {
                for example in Examples::of(files).take(count) {
                    let (place, example) = example.map_err(|error| error.to_string())?;
                    let shown = shown_example(&place, &example, codec)?;
                    report.add(shown, self.rows);
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tasks(form, _) => write!(f, "tasks: {form}"),
            Self::Examples(forms) => {
                let forms: Vec<String> = forms.iter().map(ToString::to_string).collect();
                write!(f, "examples: {}", forms.join(" or "))
            }
        }
    }
}

/// The file of the first supervised stage that has one.
fn sft_file(config: &RunConfig) -> Option<(PathBuf, Part)> {
    config.stages.iter().find_map(|stage| match stage {
        StageConfig::Sft(stage) => {
            let part = Part::new(stage.subset.clone(), stage.split.clone());
            Some((stage.file.clone()?, part))
        }
        _ => None,
    })
}

/// What is too long, and what is done about it.
fn limit(config: Option<&RunConfig>, reading: &Reading, context: usize) -> Limit {
    let Some(config) = config else {
        return Limit::new(context, "the model's context", "refused");
    };
    if let Reading::Tasks(..) = reading {
        let most = context.saturating_sub(config.sampling.max_tokens);
        return Limit::new(
            most,
            "the model's context without sampling.max_tokens",
            "refused when they are drawn",
        );
    }
    let stage = config.stages.iter().find_map(|stage| match stage {
        StageConfig::Sft(stage) => Some(stage),
        _ => None,
    });
    let settings = stage.cloned().unwrap_or_default();
    let limit = examples::Limit::of(
        settings.max_length,
        settings.too_long,
        context,
        config.memory.token_budget,
    );
    let fate = match limit.too_long {
        examples::TooLong::Drop => "left out",
        examples::TooLong::Truncate => "cut short",
        examples::TooLong::Error => "refused",
    };
    Limit::new(limit.tokens, limit.by, fate)
}

fn format_named(name: &str) -> Result<DataFormat, Failure> {
    let found = DataFormat::ALL
        .into_iter()
        .find(|format| format.name() == name);
    found.ok_or_else(|| {
        let known = DataFormat::ALL.map(DataFormat::name).join(", ");
        usage(format!("--format is {name:?}: expected one of {known}"))
    })
}

/// A task as it is put to the model.
fn shown_task(task: &Task, codec: Option<&Codec>) -> Result<Shown, String> {
    let (text, length) = match codec {
        Some(codec) => {
            let encoded = codec.encoder.encode(&task.prompt);
            let (text, ids) = encoded.map_err(|error| format!("{}: {error}", task.id))?;
            (text, ids.len())
        }
        None => {
            let text = plain(&task.prompt);
            let length = text.chars().count();
            (text, length)
        }
    };
    Ok(Shown {
        name: task.id.clone(),
        text,
        answer: Some(task.answer.clone()),
        length,
        learnt: None,
    })
}

/// An example as it is learnt.
fn shown_example(place: &Place, example: &Example, codec: Option<&Codec>) -> Result<Shown, String> {
    let name = place.to_string();
    let Some(codec) = codec else {
        let (text, answer) = match example {
            Example::Completion(demonstration) => (
                plain(&demonstration.prompt),
                Some(demonstration.completion.clone()),
            ),
            Example::Conversation(talk) => {
                (plain(&dunwu_datasets::Prompt::Chat(talk.clone())), None)
            }
            Example::Text(text) => (text.clone(), None),
        };
        let length = text.chars().count() + answer.as_ref().map_or(0, |text| text.chars().count());
        return Ok(Shown {
            name,
            text,
            answer,
            length,
            learnt: None,
        });
    };
    let encoded = examples::encode(codec, example, examples::Turns::All)
        .map_err(|error| format!("{name}: {error}"))?;
    let sequence = &encoded.sequence;
    let followed = sequence.marked().map(|(id, _)| id);
    let ids: Vec<u32> = sequence.prompt.iter().copied().chain(followed).collect();
    let text = codec.encoder.tokenizer.decode_with_special(&ids);
    Ok(Shown {
        text: text.map_err(|error| format!("{name}: {error}"))?,
        name,
        answer: None,
        length: ids.len(),
        learnt: Some(encoded.learnt_tokens()),
    })
}

/// A prompt without a chat template: who says what.
fn plain(prompt: &dunwu_datasets::Prompt) -> String {
    let messages = match prompt {
        dunwu_datasets::Prompt::Text(text) => return text.clone(),
        dunwu_datasets::Prompt::Chat(messages) => messages,
    };
    let lines = messages.iter().map(|message| {
        let role = format!("{:?}", message.role).to_lowercase();
        let calls = match message.extra.get("tool_calls") {
            Some(calls) => format!(" {calls}"),
            None => String::new(),
        };
        format!("<{role}> {}{calls}", message.content)
    });
    lines.collect::<Vec<_>>().join("\n")
}
