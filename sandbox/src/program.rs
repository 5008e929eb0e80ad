//! WebAssembly programs of any language: modules of WASI preview 1 and components of WASI 0.2.

use wasmtime::component::Linker as ComponentLinker;

use crate::cache::{Compiled, ModuleCache};
use crate::engine::Engine;
use crate::error::SandboxError;
use crate::execution::{Execution, Exit};
use crate::guest::{self, Guest};
use crate::limits::Limits;
use crate::wasi::{preview1, preview2};

/// A compiled program, ready to run.
pub struct WasmProgram {
    engine: Engine,
    kind: Kind,
}

enum Kind {
    Module(wasmtime::InstancePre<Guest>),
    Command(wasmtime::component::InstancePre<Guest>, String),
}

impl std::fmt::Debug for WasmProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmProgram").finish_non_exhaustive()
    }
}

impl WasmProgram {
    /// The program in `wasm`, called `name` in errors: a module that exports `_start`, or a component
    /// that exports `wasi:cli/run`.
    ///
    /// # Errors
    /// [`SandboxError::InvalidModule`] if it is neither, or imports anything but WASI.
    pub fn load(
        engine: &Engine,
        cache: &ModuleCache,
        wasm: &[u8],
        name: &str,
    ) -> Result<Self, SandboxError> {
        let invalid = |reason: String| SandboxError::InvalidModule {
            name: name.to_owned(),
            reason,
        };
        let kind = match cache.load(engine, wasm, name)? {
            Compiled::Module(module) => {
                if module.get_export("_start").is_none() {
                    return Err(invalid("it exports no function _start".to_owned()));
                }
                let linker = preview1::linker(engine, &module, name)?;
                let prepared = linker
                    .instantiate_pre(&module)
                    .map_err(|error| invalid(format!("{error:#}")))?;
                Kind::Module(prepared)
            }
            Compiled::Component(component) => {
                let ty = component.component_type();
                let run = ty
                    .exports(engine.wasmtime())
                    .map(|(export, _)| export.to_owned())
                    .find(|export| export.starts_with("wasi:cli/run@"));
                let run = run.ok_or_else(|| invalid("it exports no wasi:cli/run".to_owned()))?;
                let mut linker = ComponentLinker::new(engine.wasmtime());
                preview2::define(&mut linker, engine, &component, name, &[])?;
                let prepared = linker
                    .instantiate_pre(&component)
                    .map_err(|error| invalid(format!("{error:#}")))?;
                Kind::Command(prepared, run)
            }
        };
        Ok(Self {
            engine: engine.clone(),
            kind,
        })
    }

    /// Runs it with `stdin` on its standard input.
    ///
    /// # Errors
    /// [`SandboxError`] if the host fails; what the program does is in the [`Execution`].
    pub fn run(&self, stdin: Vec<u8>, limits: &Limits) -> Result<Execution, SandboxError> {
        limits.validate()?;
        let mut store = guest::store(&self.engine, Guest::new(stdin, *limits, ()))?;
        let result = match &self.kind {
            Kind::Module(prepared) => run_module(prepared, &mut store),
            Kind::Command(prepared, run) => run_command(prepared, run, &mut store),
        };
        let exit = match result {
            Ok(exit) => exit,
            Err(error) => guest::exit_of(store.data(), &error),
        };
        Ok(guest::execution(store, exit))
    }
}

fn run_module(
    prepared: &wasmtime::InstancePre<Guest>,
    store: &mut wasmtime::Store<Guest>,
) -> wasmtime::Result<Exit> {
    let instance = prepared.instantiate(&mut *store)?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
    start.call(store, ())?;
    Ok(Exit::Finished)
}

fn run_command(
    prepared: &wasmtime::component::InstancePre<Guest>,
    run: &str,
    store: &mut wasmtime::Store<Guest>,
) -> wasmtime::Result<Exit> {
    let instance = prepared.instantiate(&mut *store)?;
    let interface = instance.get_export_index(&mut *store, None, run);
    let function = interface
        .and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), "run"))
        .ok_or_else(|| wasmtime::Error::msg(format!("{run} has no function run")))?;
    let function = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, &function)?;
    let (result,) = function.call(store, ())?;
    Ok(match result {
        Ok(()) => Exit::Finished,
        Err(()) => Exit::Exited(1),
    })
}
