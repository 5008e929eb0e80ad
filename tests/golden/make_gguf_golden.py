"""Golden values of GGUF's block formats by the `gguf` package of llama.cpp.

usage: python make_gguf_golden.py     writes gguf_blocks.json beside this script
Needs: gguf numpy. Made with gguf 0.19.0.

cases[]: {"type", "type_id", "block_size", "type_size", "bytes", "values"}: three blocks each, `bytes` in hexadecimal as they lie
in a file, `values` the float32 numbers that they stand for. Quantised bits are random, so every code occurs in some block; the
half-precision scales in front of or behind them are random numbers of ordinary size, of both signs where the format has them.
"""
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

HERE = Path(__file__).parent
BLOCKS = 3
# Where in a block the float16 scales lie, by byte offset.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.IQ4_NL: [0],
    Type.IQ4_XS: [0], Type.MXFP4: [],
}
PLAIN = {Type.F32: np.dtype("<f4"), Type.F16: np.dtype("<f2"), Type.BF16: None}


def main():
    random = np.random.default_rng(0)
    rows = []
    for kind, offsets in SCALES.items():
        block_size, type_size = GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (BLOCKS, type_size), dtype=np.uint8)
        if kind == Type.MXFP4:
            blocks[:, 0] = random.integers(110, 140, BLOCKS)
        for offset in offsets:
            scale = (random.normal(size=BLOCKS) * 0.02).astype("<f2")
            blocks[:, offset : offset + 2] = scale.view(np.uint8).reshape(BLOCKS, 2)
        rows.append((kind, block_size, type_size, blocks.tobytes(), dequantize(blocks, kind).reshape(-1)))
    values = np.concatenate([random.normal(size=24), [0, -0.0, 1, 65504, 6e-8, -3e-6, 1e-4, 1 / 3]]).astype("<f4")
    for kind, dtype in PLAIN.items():
        data = values.astype(dtype).view(np.uint8) if dtype else (values.view("<u4") >> 16).astype("<u2").view(np.uint8)
        rows.append((kind, *GGML_QUANT_SIZES[kind], data.tobytes(), dequantize(data, kind).reshape(-1)))
    with open(HERE / "gguf_blocks.json", "w") as out:
        out.write('{"gguf_version": "%s", "cases": [\n' % version("gguf"))
        out.write(",\n".join(json.dumps({
            "type": kind.name, "type_id": int(kind), "block_size": block_size, "type_size": type_size, "bytes": data.hex(),
            "values": [float(f"{value:.9g}") for value in decoded.astype(np.float32).tolist()]})
            for kind, block_size, type_size, data, decoded in rows))
        out.write("\n]}\n")
    for kind, block_size, type_size, data, decoded in rows:
        assert len(data) // type_size * block_size == len(decoded) and np.isfinite(decoded).all()
        print(kind.name, len(decoded), f"{decoded.min():.4f} to {decoded.max():.4f}")


main()
