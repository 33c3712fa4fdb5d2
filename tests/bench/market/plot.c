/* SPDX-License-Identifier: MIT
 *
 * Two pictures over one time: machines, and what jobs waited. */
#include "market.h"

#include "common/err.h"

#include <stdio.h>

#define WIDTH 860
#define LEFT 60
#define PANEL 210
#define TOP 40
#define GAP 50
#define HEIGHT (TOP + 2 * PANEL + GAP + 40)

struct curve {
    const char *name, *colour;
    double (*value)(const struct market_point *point);
};

static double wanted(const struct market_point *point)
{
    return (double)point->wanted;
}

static double working(const struct market_point *point)
{
    return (double)point->working;
}

static double busy(const struct market_point *point)
{
    return (double)point->busy;
}

static double wait(const struct market_point *point)
{
    return point->wait_p95_s;
}

static double queued(const struct market_point *point)
{
    return (double)point->queued / 100;
}

static const struct curve machines[] = {
    {"wanted", "#c0392b", wanted}, {"working", "#2c6fbb", working}, {"busy", "#3a9d5d", busy}};
static const struct curve waits[] = {{"wait, p95 of 5 s, in s", "#8e44ad", wait},
                                     {"queued, in hundreds", "#7f8c8d", queued}};

static double highest(const struct market *market, const struct curve *curves, size_t count)
{
    double most = 10;
    for (size_t c = 0; c < count; c++)
        for (size_t i = 0; i < market->point_count; i++)
            if (curves[c].value(&market->points[i]) > most)
                most = curves[c].value(&market->points[i]);
    double round = 10;
    while (round < most)
        round *= round * 2 >= most ? 2 : round * 5 >= most ? 5 : 10;
    return round;
}

static double across(const struct market *market, int64_t ms)
{
    int64_t last_ms = market->points[market->point_count - 1].ms;
    return LEFT + (double)(WIDTH - LEFT - 20) * (double)ms / (double)(last_ms > 0 ? last_ms : 1);
}

static void draw(FILE *file, const struct market *market, const struct curve *curves, size_t count,
                 int top)
{
    double most = highest(market, curves, count);
    for (int i = 0; i <= 4; i++)
        fprintf(file,
                "<line x1='%d' x2='%d' y1='%d' y2='%d' stroke='#ddd'/>"
                "<text x='%d' y='%d' text-anchor='end'>%g</text>\n",
                LEFT, WIDTH - 20, top + PANEL * i / 4, top + PANEL * i / 4, LEFT - 6,
                top + PANEL * i / 4 + 4, most * (4 - i) / 4);
    for (size_t c = 0; c < count; c++) {
        fprintf(file,
                "<text x='%zu' y='%d' fill='%s'>%s</text><polyline fill='none' stroke='%s' "
                "stroke-width='1.5' points='",
                LEFT + 10 + c * 190, top - 8, curves[c].colour, curves[c].name, curves[c].colour);
        for (size_t i = 0; i < market->point_count; i++)
            fprintf(file, "%.1f,%.1f ", across(market, market->points[i].ms),
                    top + PANEL * (1 - curves[c].value(&market->points[i]) / most));
        fprintf(file, "'/>\n");
    }
}

int plot_write(const struct market *market, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file || market->point_count == 0) {
        if (file)
            fclose(file);
        return ERR_INVALID;
    }
    fprintf(file,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='sans-serif' "
            "font-size='12'>\n<rect width='100%%' height='100%%' fill='#fff'/>\n",
            WIDTH, HEIGHT);
    draw(file, market, machines, sizeof machines / sizeof machines[0], TOP);
    draw(file, market, waits, sizeof waits / sizeof waits[0], TOP + PANEL + GAP);
    int64_t last_ms = market->points[market->point_count - 1].ms;
    for (int64_t ms = 0; ms <= last_ms; ms += 120000)
        fprintf(file, "<text x='%.1f' y='%d' text-anchor='middle'>%d min</text>\n",
                across(market, ms), HEIGHT - 20, (int)(ms / 60000));
    fprintf(file, "</svg>\n");
    return fclose(file) == 0 ? 0 : ERR_INTERNAL;
}
