//! WASI 0.2, for components: <https://github.com/WebAssembly/WASI/tree/main/wasip2>.
//!
//! What a component imports is looked up by name and defined by need, whatever the minor version. The
//! two functions that carry output are typed, since they are called often; all others go by dynamic
//! values. What is not offered answers with the error of its own type that says so.

use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{
    Component, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceDynamic,
    ResourceType, Val,
};

use super::poll::{payload, poll, pollable, ready_times};
use crate::engine::Engine;
use crate::error::SandboxError;
use crate::guest::{Guest, Output, Stop, charge};

/// Markers of the resources that typed functions speak of.
pub(crate) struct OutputStream;
struct InputStream;

/// Bytes that an output stream takes at once.
const WRITE_ROOM_BYTES: u64 = 64 << 10;
/// Bytes that an input stream gives at once.
const READ_BYTES: u64 = 1 << 20;

#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    #[allow(dead_code)]
    Closed,
}

struct IoError;

fn resource_type(name: &str) -> ResourceType {
    match name {
        "output-stream" => ResourceType::host::<OutputStream>(),
        "input-stream" => ResourceType::host::<InputStream>(),
        "error" => ResourceType::host::<IoError>(),
        other => ResourceType::host_dynamic(payload(other)),
    }
}

/// Defines in `linker` what `component` imports of WASI.
///
/// # Errors
/// [`SandboxError::InvalidModule`] if it imports an interface that is neither WASI's nor in
/// `offered`.
pub(crate) fn define<T: Send + 'static>(
    linker: &mut Linker<Guest<T>>,
    engine: &Engine,
    component: &Component,
    name: &str,
    offered: &[&str],
) -> Result<(), SandboxError> {
    let engine = engine.wasmtime();
    for (interface, item) in component.component_type().imports(engine) {
        if offered.contains(&interface) {
            continue;
        }
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            return Err(foreign(name, interface));
        };
        // An interface of types alone asks for nothing.
        let functions_or_resources = instance.exports(engine).any(|(_, export)| {
            matches!(
                export.ty,
                ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_)
            )
        });
        if !interface.starts_with("wasi:") && functions_or_resources {
            return Err(foreign(name, interface));
        }
        let mut define = || -> wasmtime::Result<()> {
            let mut target = linker.instance(interface)?;
            for (export, item) in instance.exports(engine) {
                match item.ty {
                    ComponentItem::Resource(_) => {
                        let is_pollable = export == "pollable";
                        target.resource(
                            export,
                            resource_type(export),
                            move |mut store, number| {
                                store.data_mut().drop_handle();
                                if is_pollable {
                                    store.data_mut().drop_timer(number);
                                }
                                Ok(())
                            },
                        )?;
                    }
                    ComponentItem::ComponentFunc(signature) => {
                        function(&mut target, interface, export, signature)?;
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        define().map_err(|error| SandboxError::engine(&error))?;
    }
    Ok(())
}

fn foreign(name: &str, interface: &str) -> SandboxError {
    SandboxError::InvalidModule {
        name: name.to_owned(),
        reason: format!("it imports {interface}, and the sandbox offers nothing but WASI 0.2"),
    }
}

/// Output streams are 1 and 2, as the descriptors are.
fn output(stream: u32) -> Output {
    match stream {
        2 => Output::Stderr,
        _ => Output::Stdout,
    }
}

type Written = wasmtime::Result<(Result<(), StreamError>,)>;

fn write<T: 'static>(
    mut store: StoreContextMut<'_, Guest<T>>,
    (stream, bytes): (Resource<OutputStream>, Vec<u8>),
) -> Written {
    charge(&mut store, bytes.len() as u64)?;
    store.data_mut().write(output(stream.rep()), &bytes)?;
    Ok((Ok(()),))
}

fn function<T: Send + 'static>(
    target: &mut LinkerInstance<'_, Guest<T>>,
    interface: &str,
    name: &str,
    signature: ComponentFunc,
) -> wasmtime::Result<()> {
    if matches!(
        name,
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush"
    ) {
        return target.func_wrap(name, write);
    }
    if name == "get-random-bytes" || name == "get-insecure-random-bytes" {
        return target.func_wrap(
            name,
            |mut store: StoreContextMut<'_, Guest<T>>, (count,): (u64,)| {
                store.data_mut().check_room(count)?;
                charge(&mut store, count)?;
                let mut bytes = vec![0; usize::try_from(count)?];
                store.data_mut().fill_random(&mut bytes)?;
                Ok((bytes,))
            },
        );
    }
    let path = interface
        .split_once('@')
        .map_or(interface, |(path, _)| path);
    let key = format!("{path}#{name}");
    let refusal = signature.results().next().and_then(|ty| refusal(&ty));
    target.func_new(name, move |mut store, signature, params, results| {
        charge(&mut store, size_bytes(params))?;
        let answer = answer(&mut store, &key, params, &signature)?;
        // Borrowed handles are the callee's to give back, owned ones to close. Pollables were, when they were looked at.
        if !key.starts_with("wasi:io/poll#") {
            params
                .iter()
                .try_for_each(|param| give_back(&mut store, param))?;
        }
        match answer {
            Some(value) => results[0] = value,
            None if results.is_empty() => {}
            None => match &refusal {
                Some(value) => results[0] = value.clone(),
                None => return Err(wasmtime::Error::msg(format!("{key} is not offered"))),
            },
        }
        Ok(())
    })
}

/// About how much there is to look at in `values`, in bytes.
fn size_bytes(values: &[Val]) -> u64 {
    values
        .iter()
        .map(|value| match value {
            Val::List(values) | Val::Tuple(values) => 64 + size_bytes(values),
            Val::String(text) => text.len() as u64,
            _ => 8,
        })
        .sum()
}

/// Drops the handles in `value`, however deep they stand in it.
fn give_back<T: 'static>(
    store: &mut StoreContextMut<'_, Guest<T>>,
    value: &Val,
) -> wasmtime::Result<()> {
    match value {
        Val::Resource(handle) => handle.resource_drop(&mut *store),
        Val::List(values) | Val::Tuple(values) => {
            values.iter().try_for_each(|value| give_back(store, value))
        }
        Val::Record(fields) => fields
            .iter()
            .try_for_each(|(_, value)| give_back(store, value)),
        Val::Variant(_, Some(value))
        | Val::Option(Some(value))
        | Val::Result(Ok(Some(value)) | Err(Some(value))) => give_back(store, value),
        _ => Ok(()),
    }
}

/// The value of type `ty` that says no: an error, an absent option, an empty list.
fn refusal(ty: &Type) -> Option<Val> {
    const CASES: [&str; 7] = [
        "access-denied",
        "access",
        "not-permitted",
        "unsupported",
        "not-supported",
        "closed",
        "bad-descriptor",
    ];
    match ty {
        Type::Result(result) => {
            let error = match result.err() {
                None => None,
                Some(Type::Enum(cases)) => {
                    let names: Vec<&str> = cases.names().collect();
                    let case = CASES.iter().find(|case| names.contains(case))?;
                    Some(Box::new(Val::Enum((*case).to_owned())))
                }
                Some(Type::Variant(cases)) => {
                    let case = CASES.iter().find(|name| {
                        cases
                            .cases()
                            .any(|case| case.name == **name && case.ty.is_none())
                    })?;
                    Some(Box::new(Val::Variant((*case).to_owned(), None)))
                }
                Some(_) => return None,
            };
            Some(Val::Result(Err(error)))
        }
        Type::Option(_) => Some(Val::Option(None)),
        Type::List(_) => Some(Val::List(Vec::new())),
        Type::Bool => Some(Val::Bool(false)),
        Type::String => Some(Val::String(String::new())),
        _ => None,
    }
}

fn done(value: Option<Val>) -> Val {
    Val::Result(Ok(value.map(Box::new)))
}

/// What `function` answers; nothing if it is not offered.
fn answer<T: 'static>(
    mut store: &mut StoreContextMut<'_, Guest<T>>,
    function: &str,
    params: &[Val],
    signature: &ComponentFunc,
) -> wasmtime::Result<Option<Val>> {
    let number = |index: usize| match params.get(index) {
        Some(Val::U64(value)) => *value,
        _ => 0,
    };
    let value = match function {
        "wasi:cli/environment#get-environment" | "wasi:cli/environment#get-arguments" => {
            Val::List(Vec::new())
        }
        "wasi:cli/exit#exit" => {
            let failed = matches!(params.first(), Some(Val::Result(Err(_))));
            return Err(Stop::Exited(i32::from(failed)).into());
        }
        "wasi:cli/exit#exit-with-code" => {
            let status = match params.first() {
                Some(Val::U8(status)) => i32::from(*status),
                _ => 1,
            };
            return Err(Stop::Exited(status).into());
        }
        "wasi:cli/stdin#get-stdin" => {
            store.data_mut().take_handle()?;
            let stream = Resource::<InputStream>::new_own(0);
            Val::Resource(stream.try_into_resource_any(&mut store)?)
        }
        "wasi:cli/stdout#get-stdout" | "wasi:cli/stderr#get-stderr" => {
            store.data_mut().take_handle()?;
            let number = if function.ends_with("stderr") { 2 } else { 1 };
            let stream = Resource::<OutputStream>::new_own(number);
            Val::Resource(stream.try_into_resource_any(&mut store)?)
        }
        "wasi:io/streams#[method]output-stream.check-write" => {
            done(Some(Val::U64(WRITE_ROOM_BYTES)))
        }
        "wasi:io/streams#[method]output-stream.flush"
        | "wasi:io/streams#[method]output-stream.blocking-flush" => done(None),
        "wasi:io/streams#[method]input-stream.read"
        | "wasi:io/streams#[method]input-stream.blocking-read" => {
            let count = usize::try_from(number(1).min(READ_BYTES)).unwrap_or(0);
            let bytes = store.data_mut().read(count);
            charge(store, 8 * bytes.len() as u64)?;
            if bytes.is_empty() && count > 0 {
                Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))))
            } else {
                done(Some(Val::List(bytes.into_iter().map(Val::U8).collect())))
            }
        }
        "wasi:io/poll#[method]pollable.block" => {
            let ready_at = ready_times(store, params)?.into_iter().max().unwrap_or(0);
            store.data_mut().sleep_until(ready_at);
            return Ok(None);
        }
        "wasi:io/poll#[method]pollable.ready" => {
            let ready_at = ready_times(store, params)?.into_iter().max().unwrap_or(0);
            Val::Bool(ready_at <= store.data().clock_ns())
        }
        "wasi:io/poll#poll" => poll(store, params)?,
        "wasi:clocks/monotonic-clock#now" => Val::U64(store.data_mut().now_ns()),
        "wasi:clocks/monotonic-clock#resolution" => Val::U64(1),
        "wasi:clocks/monotonic-clock#subscribe-instant" => pollable(store, number(0))?,
        "wasi:clocks/monotonic-clock#subscribe-duration" => {
            let ready_at = store.data().clock_after(number(0));
            pollable(store, ready_at)?
        }
        "wasi:clocks/wall-clock#now" => {
            let (seconds, nanoseconds) = store.data_mut().calendar();
            instant(seconds, nanoseconds)
        }
        "wasi:clocks/wall-clock#resolution" => instant(0, 1),
        "wasi:random/random#get-random-u64" | "wasi:random/insecure#get-insecure-random-u64" => {
            Val::U64(store.data_mut().random_u64())
        }
        "wasi:random/insecure-seed#insecure-seed" => Val::Tuple(vec![Val::U64(0), Val::U64(0)]),
        _ if function.ends_with(".subscribe") => pollable(store, 0)?,
        _ => match signature.results().next() {
            // A handle to nothing: what is done with it is refused.
            Some(Type::Own(_)) if function.ends_with("#instance-network") => {
                store.data_mut().take_handle()?;
                let network = ResourceDynamic::new_own(0, payload("network"));
                Val::Resource(network.try_into_resource_any(&mut store)?)
            }
            _ => return Ok(None),
        },
    };
    Ok(Some(value))
}

fn instant(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![
        ("seconds".to_owned(), Val::U64(seconds)),
        ("nanoseconds".to_owned(), Val::U32(nanoseconds)),
    ])
}
