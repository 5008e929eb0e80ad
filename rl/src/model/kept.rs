//! What a part's backward pass needs of its forward pass, by name.
//!
//! [`kept!`] makes a struct of matrices out of one list of fields, and from the same list the order in
//! which a tape stores them and gives them back.

/// Declares what is kept of a part, `kept! { Name of Part { field: kind, … } }`. A field is of `rows`, of
/// the `attended` of an attention, of its `qkv`, of `maybe(norm)`: rows where the part has such a norm, or of a
/// `part(Kind)`, which is what is kept of the part's part of that name.
macro_rules! kept {
    ($(#[$doc:meta])* $kept:ident of $whole:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ident $(($($of:ident).+))?,)*
    }) => {
        $(#[$doc])*
        pub(crate) struct $kept<C: $crate::compute::Compute> {
            $($(#[$field_doc])* pub(crate) $field: kept!(@type $kind $(($($of).+))?),)*
        }

        impl<C: $crate::compute::Compute> $kept<C> {
            /// Shows every matrix to `f`, in the order of the fields.
            pub(crate) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a C::Rows)) {
                $(kept!(@each $kind, &self.$field, f);)*
            }

            /// The same again, from matrices in that order.
            pub(crate) fn from_parts(
                part: &$whole,
                next: &mut impl FnMut() -> C::Rows,
            ) -> Self {
                let _ = part;
                Self { $($field: kept!(@next $kind $(($($of).+))?, part, $field, next),)* }
            }
        }
    };
    (@type rows) => { C::Rows };
    (@type attended) => { C::Attended };
    (@type qkv) => { $crate::compute::Qkv<C::Rows> };
    (@type maybe ($($norm:ident).+)) => { Option<C::Rows> };
    (@type part ($kept:ident)) => { $kept<C> };
    (@each rows, $field:expr, $f:ident) => { $f($field) };
    (@each attended, $field:expr, $f:ident) => {
        if let Some(rows) = $crate::compute::Attended::rows($field) {
            $f(rows);
        }
    };
    (@each qkv, $field:expr, $f:ident) => {
        $f(&$field.query);
        $f(&$field.key);
        $f($field.values())
    };
    (@each maybe, $field:expr, $f:ident) => {
        if let Some(rows) = $field {
            $f(rows);
        }
    };
    (@each part, $field:expr, $f:ident) => { $field.for_each($f) };
    (@next rows, $part:ident, $field:ident, $next:ident) => { $next() };
    (@next attended, $part:ident, $field:ident, $next:ident) => {
        $crate::compute::Attended::from_rows(&mut *$next)
    };
    (@next qkv, $part:ident, $field:ident, $next:ident) => {
        $crate::compute::Qkv::apart($next(), $next(), $next())
    };
    (@next maybe ($($norm:ident).+), $part:ident, $field:ident, $next:ident) => {
        $part.$($norm).+.as_ref().map(|_| $next())
    };
    (@next part ($kept:ident), $part:ident, $field:ident, $next:ident) => {
        $kept::from_parts(&$part.$field, $next)
    };
}
pub(crate) use kept;
