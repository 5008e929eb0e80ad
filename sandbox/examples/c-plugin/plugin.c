/* A reward in C: how many of the reference's words the completion has.
 *
 *     clang --target=wasm32-unknown-unknown -O2 -nostdlib -Wl,--no-entry -o core.wasm plugin.c
 *     wasm-tools component embed ../../wit --world reward core.wasm -o embedded.wasm
 *     wasm-tools component new embedded.wasm -o c_plugin.wasm
 *
 * It needs neither a C library nor a binding generator: the canonical ABI is written out. Records are structs as C lays
 * them out for a 32-bit machine, lists and strings are an address and a length, and what does not fit into one returned value
 * is returned by the address of a struct. */

#include <stddef.h>
#include <stdint.h>

typedef struct { const char *at; uint32_t length; } string;
typedef struct { uint32_t is_some; string value; } option_string;
typedef struct { string prompt, completion; option_string reference; string columns; uint32_t group; } sample;
typedef struct { string name; double value; } part;
typedef struct { double value; part *parts; uint32_t part_count; option_string note; } score;
typedef struct { uint32_t is_error; union { struct { score *at; uint32_t count; } scores; string reason; }; } scores_or_reason;

/* Memory that the host and this plugin take; all of it is given back after each batch. */
static unsigned char arena[48 << 20];
static size_t used;

static void *take(size_t size, size_t align) {
    used = (used + align - 1) & ~(align - 1);
    if (size > sizeof arena - used) __builtin_trap();
    void *at = arena + used;
    used += size;
    return at;
}

/* The host allocates arguments by this. */
__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(const void *old, size_t old_size, size_t align, size_t size) {
    unsigned char *at = take(size, align);
    for (size_t i = 0; i < old_size && i < size; i++) at[i] = ((const unsigned char *)old)[i];
    return at;
}

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The next word of `text` from `*at` on; of length 0 if there is none. */
static string next_word(string text, uint32_t *at) {
    while (*at < text.length && is_space(text.at[*at])) ++*at;
    string word = {text.at + *at, 0};
    while (*at < text.length && !is_space(text.at[*at])) ++*at, ++word.length;
    return word;
}

/* Whether `word` is among the words of `text` that begin before `end`. */
static int has_word(string text, uint32_t end, string word) {
    for (uint32_t at = 0; at < end;) {
        string other = next_word(text, &at);
        if (other.length == 0 || other.at >= text.at + end) return 0;
        uint32_t i = 0;
        while (other.length == word.length && i < word.length && other.at[i] == word.at[i]) i++;
        if (i == word.length && other.length == word.length) return 1;
    }
    return 0;
}

/* Words of `text`. */
static uint32_t count_words(string text) {
    uint32_t count = 0;
    for (uint32_t at = 0; next_word(text, &at).length != 0;) count++;
    return count;
}

/* The share of the distinct words of `wanted` that are in `said`. */
static double share(string wanted, string said) {
    uint32_t total = 0, found = 0;
    for (uint32_t at = 0;;) {
        string word = next_word(wanted, &at);
        if (word.length == 0) return total ? (double)found / total : 0;
        if (has_word(wanted, (uint32_t)(word.at - wanted.at), word)) continue;
        total++;
        found += has_word(said, said.length, word);
    }
}

__attribute__((export_name("describe")))
string *describe(void) {
    static const char text[] = "the share of the reference's words that the completion has";
    static string reply = {text, sizeof text - 1};
    return &reply;
}

__attribute__((export_name("score-batch")))
scores_or_reason *score_batch(const sample *samples, uint32_t count) {
    static scores_or_reason reply;
    static const char missing[] = "a sample has no reference to compare with";
    score *scores = take(count * sizeof *scores, _Alignof(score));
    for (uint32_t i = 0; i < count; i++) {
        if (!(samples[i].reference.is_some & 1)) {
            reply.is_error = 1;
            reply.reason = (string){missing, sizeof missing - 1};
            return &reply;
        }
        part *words = take(sizeof *words, _Alignof(part));
        *words = (part){{"words", 5}, count_words(samples[i].completion)};
        scores[i] = (score){share(samples[i].reference.value, samples[i].completion), words, 1, {0}};
    }
    reply.is_error = 0;
    reply.scores.at = scores;
    reply.scores.count = count;
    return &reply;
}

/* The host has read the reply. */
__attribute__((export_name("cabi_post_score-batch")))
void after_score_batch(const scores_or_reason *reply) {
    (void)reply;
    used = 0;
}
