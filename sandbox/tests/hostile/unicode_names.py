# Names, cases and digits of every character, joined and split for ever.
import sys, unicodedata
text = "".join(map(chr, range(0x10000)))
while True:
    text = text.casefold().upper().title().swapcase() + text[:100]
    unicodedata.normalize("NFKD", text)
