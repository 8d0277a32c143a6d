#!/usr/bin/env python3
"""Draws the rows of results files of tpsp-bench, each picture as SVG and PNG.

  time, allocated, reserved  over sequence length, one series a plan: of the rows of device cuda, and of device cpu
                             where the files have none of cuda
  cpu-time, cpu-memory       the same of the rows of device cpu; without cuda rows cpu-time shows the times of time
  ratio                      T(plan) / T(baseline) with its interval, as in the column ratio
  time-split, memory-split   what the time and the peak of memory consist of
  before-head                peak memory above the weights before the head runs, where SP's saving shows
  scaling                    time, and speed-up over one rank, against the number of ranks
  step-split                 of training steps the time of forward, backward and optimizer
  saved                      of training steps what the forward keeps for the backward

Rows whose status is not ok are left out, and of several rows of one case the last counts. Files are drawn together.
Where they have several models, dtypes, worlds, ..., each has its own pictures, with its name in the file names. A
picture without data is left out, which a line on stderr says. Exit codes: 0 pictures were drawn, 1 nothing to draw,
2 bad input, 6 a picture could not be written.
"""
import argparse
import math
import re
import sys
import textwrap
from pathlib import Path

import results_file
from results_file import distinct, interval, number

matplotlib = results_file.library("matplotlib", "matplotlib")
from matplotlib.figure import Figure  # noqa: E402  (after the check that it is there)
from matplotlib.lines import Line2D  # noqa: E402

# The palette of Okabe and Ito, which the colour-blind can distinguish; hatches and markers do for print.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "++", "oo")
PART_COLORS, PART_HATCHES = (*COLORS, "#A6A6A6", "#7B5BB5"), (*HATCHES, "**")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = {"font.family": "DejaVu Sans", "font.size": 10, "legend.fontsize": 9, "xtick.labelsize": 9,
         "ytick.labelsize": 9, "hatch.linewidth": 0.5, "axes.axisbelow": True, "axes.spines.top": False,
         "axes.spines.right": False, "legend.handlelength": 2.6, "text.parse_math": False,
         "svg.fonttype": "none", "svg.hashsalt": "tpsp"}
DOT = "\u00a0· "  # a line may end after it, not before
TIME_PARTS = ("gemm_s", "attention_s", "norm_s", "wait_s", "move_s", "seam_s", "other_s")
STEP_PARTS = ("forward_s", "backward_s", "optimizer_s")
MEMORY_PARTS = ("weights_bytes", "activations_bytes", "logits_bytes", "collective_bytes", "resident_bytes")
STEP_MEMORY_PARTS = ("gradient_bytes", "optimizer_bytes", "saved_at_peak_bytes", "recomputed_bytes", "unit_bytes")
PART_NAMES = {"seam_s": "fused add-norm", "gradient_bytes": "gradients",
              "saved_at_peak_bytes": "saved for the backward", "unit_bytes": "unit at work"}


class Empty(Exception):
    """Why a picture has nothing to show."""


# ---- values

def with_number(rows, column):
    """Rows by (plan, seq, world), the last of each, with something in the column."""
    found = {(r["plan"], r["seq"], r["world"]): r for r in rows if number(r, column) is not None}
    if not found:
        raise Empty(f"{column} is empty")
    return list(found.values())


def unit(column, values):
    """(size, name) of the unit in which the largest value is read best."""
    times, sizes = [(1, "s"), (1e-3, "ms"), (1e-6, "µs")], [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
    choices = times if column.endswith("_s") else sizes
    return next((choice for choice in choices if max(values) >= 0.5 * choice[0]), choices[-1])


def short(value):
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


# ---- parts of a picture

def canvas(width, height=4.0, columns=1):
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    return figure, axes


def legend(figure, handles):
    labels = [textwrap.fill(handle.get_label(), 60) for handle in handles]
    longest = max(len(line) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 12 / (longest + 9))))
    lines = math.ceil(sum(label.count("\n") + 1 for label in labels) / columns)
    figure.set_figheight(figure.get_figheight() + 0.18 * lines)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def error_bar(ax, x, y, error, size, **more):
    if error:
        ax.errorbar([x], [y], [[max(e, 0) / size for e in end] for end in error], fmt="none", ecolor="black", capsize=3,
                    elinewidth=1, **more)


def length_axis(ax, lengths):
    ax.set_xticks(range(len(lengths)), [str(length) for length in lengths])
    margin = max(0.5, (3 - len(lengths)) / 2)  # one length alone is no bar across the entire picture
    ax.set_xlim(-margin, len(lengths) - 1 + margin)
    ax.set_xlabel("sequence length, tokens")


# ---- the pictures

def bars(rows, plans, column, label):
    """Groups of bars over the sequence lengths, one bar a plan, with the value above."""
    rows = with_number(rows, column)
    lengths, shown = distinct(rows, "seq"), [plan for plan in plans if plan in {r["plan"] for r in rows}]
    size, name = unit(column, [row[column] for row in rows])
    slots = len(lengths) * len(shown)
    figure, (ax,) = canvas(min(max(6.4, 1.6 + 0.34 * slots), 14))
    upright = (figure.get_figwidth() - 1.2) / max(slots, 3 * len(shown)) < 0.6
    width, handles = 0.84 / len(shown), {}
    for row in rows:
        place, style = shown.index(row["plan"]), plans.index(row["plan"])
        x, y = lengths.index(row["seq"]) + (place - (len(shown) - 1) / 2) * width, row[column] / size
        error = interval(row, column)
        handles[place] = ax.bar(x, y, width * 0.94, color=COLORS[style % 7], hatch=HATCHES[style % 8],
                                edgecolor="black", linewidth=0.6, label=row["plan"])
        error_bar(ax, x, y, error, size)
        ax.annotate(short(y), (x, y + (error[1][0] / size if error else 0)), (0, 4), textcoords="offset points",
                    ha="center", va="bottom", fontsize=9, rotation=90 if upright else 0)
    length_axis(ax, lengths)
    ax.margins(y=0.2 if upright else 0.1)
    ax.set_ylabel(f"{label}, {name}")
    legend(figure, [handles[place] for place in sorted(handles)])
    return figure


def time_bars(rows, plans):
    known = any(interval(row, "latency_s") for row in with_number(rows, "latency_s"))
    return bars(rows, plans, "latency_s", "median time, 95% interval" if known else "median time")


def ratio(rows, plans):
    """The column ratio, the plan's time over its baseline's, a point a length."""
    rows = [r for r in with_number(rows, "ratio") if r.get("baseline", r["plan"]) != r["plan"] and r["ratio"] > 0]
    if not rows:
        raise Empty("no plan has another for its baseline")
    pairs = list(dict.fromkeys((row["plan"], row["baseline"]) for row in rows))
    lengths, handles = distinct(rows, "seq"), {}
    figure, (ax,) = canvas(min(max(6.4, 1.6 + 0.34 * len(lengths) * len(pairs)), 14))
    ax.axhline(1, color="black", linewidth=1, linestyle="--")
    for row in rows:
        plan, baseline, value = row["plan"], row["baseline"], row["ratio"]
        place = pairs.index((plan, baseline))
        x = lengths.index(row["seq"]) + (place - (len(pairs) - 1) / 2) * 0.7 / len(pairs)
        error_bar(ax, x, value, interval(row, "ratio"), 1)
        handles[place], = ax.plot(x, value, MARKERS[place % 8], color=COLORS[place % 7], markersize=8,
                                  markeredgecolor="black", linestyle="", label=f"T({plan}) / T({baseline})")
        if len(pairs) == 1:
            ax.annotate(f"{value:.3f}", (x, value), (8, 0), textcoords="offset points", va="center", fontsize=9)
    length_axis(ax, lengths)
    ax.margins(y=0.15)
    ax.set_ylabel(ratio_label(pairs))
    if len(pairs) > 1:
        legend(figure, [handles[place] for place in sorted(handles)])
    return figure


def ratio_label(pairs):
    if len(pairs) > 1:
        return "T(plan) / T(baseline)\nbelow 1: the plan is faster"
    plan, baseline = pairs[0]
    words = {"tp": "TP", "tp+sp": "TP+SP"}.get(plan, plan)
    lines = [textwrap.fill(line, 40) for line in (f"T({plan}) / T({baseline})", f"below 1: {words} is faster")]
    return "\n".join(lines)


def stacked(rows, plans, parts, needed, label, mark=None, looks=None):
    """A lying bar for each length and plan, made of the parts; the mark is a diamond. Parts have the colours of their
    places in looks."""
    rows = sorted(with_number(rows, needed), key=lambda row: (row["seq"], plans.index(row["plan"])))
    size, name = unit(parts[0], [sum(number(row, part) or 0 for part in parts) for row in rows])
    labels = [textwrap.fill(f"{row['seq']}  {row['plan']}", 30) for row in rows]
    places = [i + 0.5 * distinct(rows, "seq").index(row["seq"]) for i, row in enumerate(rows)]
    lines = max(label.count("\n") for label in labels) + 1
    figure, (ax,) = canvas(7.2, 2.1 + (max(places[-1], 3) + 1) * max(0.3, 0.17 * lines))
    ends, handles = [0] * len(rows), []
    for part in parts:
        style = (looks or parts).index(part)
        lengths = [(number(row, part) or 0) / size for row in rows]
        handles.append(ax.barh(places, lengths, 0.8, ends, color=PART_COLORS[style], hatch=PART_HATCHES[style],
                               edgecolor="black", linewidth=0.5, label=part_name(part)))
        ends = [end + length for end, length in zip(ends, lengths)]
    handles += marks(ax, rows, places, mark, size)
    totals(ax, rows, places, ends, mark, size)
    ax.set_yticks(places, labels)
    margin = 0.8 + max(0, 3 - places[-1]) / 2  # few bars need not be thick
    ax.set_ylim(places[-1] + margin, -margin)
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
    ax.grid(visible=False, axis="y")
    ax.set(xlabel=f"{label}, {name}", ylabel="sequence length, tokens; plan")
    legend(figure, handles)
    return figure


def part_name(column):
    return PART_NAMES.get(column, column.removesuffix("_s").removesuffix("_bytes"))


def marks(ax, rows, places, mark, size):
    known = [(row[mark] / size, place) for row, place in zip(rows, places) if mark and number(row, mark) is not None]
    if not known:
        return []
    return ax.plot(*zip(*known), "D", color="white", markeredgecolor="black", markersize=6, linestyle="",
                   label=mark.removesuffix("_bytes"))


def totals(ax, rows, places, ends, mark, size):
    beyond = [max(end, (number(row, mark) or 0) / size if mark else 0) for row, end in zip(rows, ends)]
    for x, place, end in zip(beyond, places, ends):
        ax.annotate(short(end), (x, place), (7, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xlim(0, 1.12 * max(beyond))


def time_split(rows, plans):
    return stacked(rows, plans, TIME_PARTS, "gemm_s", "time")


def present(rows, parts):
    return [part for part in parts if any(number(row, part) for row in rows)]


def step_split(rows, plans):
    return stacked(rows, plans, present(rows, STEP_PARTS), "backward_s", "median time", looks=STEP_PARTS)


def memory_split(rows, plans):
    """Those parts of training steps that there are follow the weights, so that what plans have alike begins alike."""
    weights, *others = MEMORY_PARTS
    parts = [weights, *present(rows, STEP_MEMORY_PARTS), *others]
    return stacked(rows, plans, parts, "activations_bytes", "memory of a rank", "predicted_bytes",
                   (*MEMORY_PARTS, *STEP_MEMORY_PARTS))


def scaling(rows, plans):
    """Lines over the number of ranks: colours are plans, markers lengths."""
    rows = with_number(rows, "latency_s")
    worlds, lengths = distinct(rows, "world"), distinct(rows, "seq")
    if len(worlds) < 2:
        raise Empty("all rows have the same world")
    alone = {(r["plan"], r["seq"]): r for r in rows if r["world"] == 1}
    alone |= {(None, seq): row for (_, seq), row in alone.items()}  # on one rank all plans do the same
    figure, axes = canvas(9.6 if alone else 6.4, 4.6, 2 if alone else 1)
    size, name = unit("latency_s", [row["latency_s"] for row in rows])
    for plan in plans:
        for seq in lengths:
            line = sorted((r for r in rows if (r["plan"], r["seq"]) == (plan, seq)), key=lambda row: row["world"])
            look = scaling_look(plans.index(plan), lengths.index(seq))
            scaling_line(axes, line, alone.get((plan, seq)) or alone.get((None, seq)), size, look)
    scaling_axes(axes, worlds, name)
    scaling_legends(figure, [plan for plan in plans if plan in {r["plan"] for r in rows}], plans, lengths)
    return figure


def scaling_look(plan, length):
    return {"color": COLORS[plan % 7], "linestyle": ("-", "--", ":", "-.")[plan % 4], "marker": MARKERS[length % 8],
            "markersize": 6, "markeredgecolor": "black"}


def scaling_legends(figure, shown, plans, lengths):
    lines = [Line2D([], [], **scaling_look(plans.index(plan), 0) | {"marker": ""}, label=plan) for plan in shown]
    points = [Line2D([], [], **scaling_look(0, place) | {"linestyle": "", "color": "white"}, label=str(length))
              for place, length in enumerate(lengths)]
    legend(figure, lines)
    figure.legend(handles=points, title="seq, tokens", title_fontsize=9, loc="outside right center", frameon=False)


def scaling_line(axes, line, alone, size, look):
    worlds = [row["world"] for row in line]
    axes[0].plot(worlds, [row["latency_s"] / size for row in line], **look)
    for row in line:
        error_bar(axes[0], row["world"], row["latency_s"] / size, interval(row, "latency_s"), size)
    if alone and line:
        axes[1].plot(worlds, [alone["latency_s"] / row["latency_s"] for row in line], **look)


def scaling_axes(axes, worlds, name):
    for ax, label in zip(axes, (f"median time, {name}", "speed-up over 1 rank")):
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2)
        ax.set_xticks(worlds, [str(world) for world in worlds])
        ax.minorticks_off()
        low, high = ax.dataLim.intervaly
        ax.set_ylim(0.92 * 2 ** math.floor(math.log2(low)), 1.09 * 2 ** math.ceil(math.log2(high)))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set(xlabel="world, ranks", ylabel=label)
    if len(axes) > 1:
        axes[1].plot(worlds, worlds, color="grey", linewidth=1)
        axes[1].set_title("grey: as many times faster as ranks", fontsize=9)


# ---- which pictures

ONLY_OF_STEPS = ("step-split", "saved")


def kinds(rows):
    """(name, heading, device or None for all, function) of each picture; {work} is a forward or a training step."""
    first = "cuda" if any(row["device"] == "cuda" for row in rows) else "cpu"

    def column(name, label):
        return lambda rows, plans: bars(rows, plans, name, label)

    return [("time", "Time of one {work}", first, time_bars),
            ("allocated", "Peak memory held by tensors, largest of the ranks", first,
             column("allocated_bytes", "allocated memory")),
            ("reserved", "Peak memory taken from the system, largest of the ranks", first,
             column("reserved_bytes", "reserved memory")),
            ("cpu-time", "Time of one {work} on the CPU", "cpu", time_bars),
            ("cpu-memory", "Memory of the process on the CPU, largest of the ranks", "cpu",
             column("process_bytes", "CPU memory")),
            ("ratio", "One plan against another: ratio of times with its 95% interval", None, ratio),
            ("time-split", "What the time of a {work} consists of, in a pass of its own", None, time_split),
            ("memory-split", "What the peak of memory consists of", None, memory_split),
            ("before-head", "Peak memory above the weights before the head", None,
             column("before_head_bytes", "memory before the head")),
            ("scaling", "Time of one {work} over the number of ranks", None, scaling),
            ("step-split", "Time of a training step: forward, backward and optimizer, each a median", None, step_split),
            ("saved", "What a step's forward keeps for the backward, largest of the ranks", None,
             column("saved_bytes", "saved for the backward"))]


def heading(rows, text, world, differing):
    """The picture's title: what it shows, of what, and where and when it was measured."""
    names = ("model", "layers", "batch", "dtype", *results_file.step_names(rows[0], differing),
             *(["world"] if world else []))
    hosts, dates = distinct([{"host": "", **r} for r in rows], "host"), sorted(r.get("utc_time", "")[:10] for r in rows)
    where = [rows[0]["device"], rows[0].get("device_name", "").strip(),
             ", ".join(hosts) if len(hosts) < 4 else f"{len(hosts)} hosts",
             dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"]
    work = "training step" if results_file.is_step(rows[0]) else "forward"
    return [text.format(work=work), DOT.join(results_file.case_words(rows[0], names)),
            DOT.join(word for word in where if word)]


def write(figure, lines, path, formats):
    columns = int(figure.get_figwidth() * 11)
    # Between a line's parts, not within one: "recompute none" stays together.
    parts = [DOT.join(part.replace(" ", "\u00a0") for part in line.split(DOT)) if DOT in line else line for line in lines]
    title = "\n".join(textwrap.fill(line, columns, break_on_hyphens=False) for line in parts).replace("\u00a0", " ")
    figure.set_figheight(figure.get_figheight() + 0.17 * title.count("\n"))
    figure.suptitle(title, fontsize=10)
    for ending in formats:
        figure.savefig(f"{path}.{ending}", dpi=150, facecolor="white",
                       metadata={"Date": None} if ending == "svg" else None)


def draw_all(rows, folder, formats):
    """Writes the pictures and returns how many there are."""
    plans, drawn = list(dict.fromkeys(row["plan"] for row in rows)), 0
    differing = results_file.varying(rows)
    for name, text, device, draw in kinds(rows):
        fixed = [(words, group) for words, group in results_file.groups(rows, ("world",) if name == "scaling" else ())
                 if device in (None, group[0]["device"])]
        if not fixed:
            print(f"plot.py: left out {name}: no row of device {device}", file=sys.stderr)
        for words, group in fixed:
            if name in ONLY_OF_STEPS and not results_file.is_step(group[0]):
                continue
            suffix = re.sub(r"[^\w.+]+", "-", "".join(f"-{word}" for word in words))
            try:
                figure = draw(group, plans)
            except Empty as error:
                print(f"plot.py: left out {name}{suffix}: {error}", file=sys.stderr)
                continue
            write(figure, heading(group, text, name != "scaling", differing), folder / f"{name}{suffix}", formats)
            drawn += 1
    return drawn


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .csv or .jsonl file that tpsp-bench --out wrote")
    parser.add_argument("-o", "--out", metavar="FOLDER", type=Path, help="default: plots/ next to the first file")
    parser.add_argument("--format", default="svg,png", help="svg, png or both, default: %(default)s")
    options = parser.parse_intermixed_args()
    options.format = options.format.split(",")
    if not set(options.format) <= {"svg", "png"}:
        results_file.fail(f"--format {','.join(options.format)}: choose from svg and png")
    return options


def main():
    options = arguments()
    try:
        rows = results_file.measured([row for path in options.files for row in results_file.read(path)])
    except results_file.BadFile as error:
        results_file.fail(error)
    if not rows:
        results_file.fail(f"{', '.join(options.files)}: nothing to draw: no row has the status ok", 1)
    folder = options.out or Path(options.files[0]).parent / "plots"
    matplotlib.rcParams.update(STYLE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = draw_all(rows, folder, options.format)
    except OSError as error:
        results_file.fail(f"{error.filename or folder}: {error.strerror}; give another folder with -o", 6)
    if drawn == 0:
        results_file.fail("nothing to draw: see above", 1)
    print(f"{drawn} pictures in {folder}")


if __name__ == "__main__":
    main()
