//! Text that a terminal shows and does not obey. A model can learn to print escape codes, so nothing that it wrote, and nothing
//! else that a file says, reaches the screen without this.

/// What stands for a character that would turn the direction of text.
const TURNS: char = '⇄';
/// What stands for one that takes no room.
const NO_ROOM: char = '·';
/// How many marks above or below a letter are shown.
const MARKS: usize = 2;

/// A line of text in which every character is one to be seen. Control characters are shown as their symbols (`␛` for ESC), those
/// that turn the direction of text as `⇄`, those without width as `·`. A line break is `↵`, a tab two spaces.
pub fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut marks = 0;
    for c in text.chars() {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        match c {
            '\n' => clean.push('↵'),
            '\t' => clean.push_str("  "),
            _ if marks > MARKS => {}
            c => clean.push(seen(c)),
        }
    }
    clean
}

/// The same of several lines; `\r\n` ends a line, too.
pub fn lines(text: &str) -> Vec<String> {
    text.split('\n')
        .map(|part| line(part.strip_suffix('\r').unwrap_or(part)))
        .collect()
}

/// What is shown of a character.
fn seen(c: char) -> char {
    match c {
        // The symbols for control characters stand in the same order.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('␀'),
        '\u{7f}' => '␡',
        // C1: `U+009B` begins an escape sequence, as ESC [ does.
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            TURNS
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' => NO_ROOM,
        c => c,
    }
}

/// Whether it stands above or below the letter before it.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, shown) in [
            ("2+2=4", "2+2=4"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "␛[2J␛]0;title␇"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("a\r\nb\tc\u{8}", "a␍↵b  c␈"),
            ("\u{202e}evil\u{2066}", "⇄evil⇄"),
            ("a\u{200b}b\u{feff}", "a·b·"),
            ("é\u{301}\u{301}\u{301}\u{301}x", "é\u{301}\u{301}x"),
            ("顿悟 🙂", "顿悟 🙂"),
        ] {
            assert_eq!(line(text), shown, "{text:?}");
        }
        assert_eq!(lines("a\r\nb\n"), ["a", "b", ""]);
    }

    #[test]
    fn no_control_character_is_left_of_any() {
        let all: String = ('\0'..='\u{ffff}')
            .chain('\u{e0000}'..='\u{e007f}')
            .collect();
        assert!(!line(&all).chars().any(char::is_control));
    }
}
