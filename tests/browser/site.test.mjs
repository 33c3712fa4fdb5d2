// SPDX-License-Identifier: MIT
// The pages that only tell: home, about, terms, privacy, and the one that says that nothing is here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { desk, inspect, phone, server, views, visit } from "./browser.mjs";

const paths = { home: "/", about: "/about", terms: "/terms", privacy: "/privacy", missing: "/no/such/page" };

for (const [view, options] of Object.entries(views))
  test(`every_page_reads_well_on_${view}`, async () => {
    const { page, complaints, close } = await visit(options, "/");
    for (const [name, path] of Object.entries(paths)) {
      await page.goto(path);
      await inspect(page, `${view}-${name}`);
    }
    assert.deepEqual(complaints.filter((c) => !c.includes("404")), []);
    await close();
  });

test("every_language_fits_a_phone", async () => {
  for (const locale of ["nl-NL", "ru-RU", "zh-CN"]) {
    const { page, complaints, close } = await visit({ ...phone, locale }, "/");
    for (const path of ["/", "/privacy"]) {
      await page.goto(path);
      assert.equal(await page.getAttribute("html", "lang"), locale.slice(0, 2));
      await inspect(page, `phone-${locale.slice(0, 2)}-${path.slice(1) || "home"}`);
    }
    assert.deepEqual(complaints, []);
    await close();
  }
});

test("everything_works_without_javascript", async () => {
  const { page, complaints, close } = await visit({ ...phone, javaScriptEnabled: false }, "/");
  await page.click(".menu summary");
  await page.click(".menu a[hreflang=nl]");
  assert.equal(await page.getAttribute("html", "lang"), "nl");
  await page.click("footer a[href='/privacy']");
  assert.equal(await page.getAttribute("html", "lang"), "nl", "the choice goes along");
  await page.click(".menu summary");
  await page.click(".menu a[href='?theme=dark']");
  assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  assert.equal(await page.getAttribute("html", "lang"), "nl");
  await page.click("a.brand");
  await page.click(".models a");
  assert.match(page.url(), /\/m\/portrait-drawing$/);
  assert.deepEqual(complaints, []);
  await close();
});

test("the_chosen_theme_wins_over_the_device", async () => {
  const { page, close } = await visit({ ...desk, colorScheme: "light" }, "/?theme=dark");
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await paper();
  await inspect(page, "desk-chosen-dark");
  await page.goto("/?theme=auto");
  const light = await paper();
  assert.notEqual(dark, light);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.equal(await paper(), dark);
  await page.goto("/?theme=light");
  assert.equal(await paper(), light);
  await inspect(page, "desk-chosen-light");
  await close();
});

test("the_first_page_weighs_at_most_60_kilobytes_over_the_wire", async (t) => {
  for (const path of ["/", "/m/portrait-drawing"]) {
    const { page, context, close } = await visit(phone, "/no/such/page");
    const session = await context.newCDPSession(page);
    let bytes = 0;
    await session.send("Network.enable");
    await session.send("Network.clearBrowserCache");
    session.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
    await page.goto(path, { waitUntil: "networkidle" });
    t.diagnostic(`${path} weighs ${bytes} bytes`);
    assert.ok(bytes > 1000 && bytes <= 60 * 1024, `${path} weighs ${bytes} bytes`);
    await close();
  }
});

test("the_keyboard_reaches_everything_and_shows_where_it_is", async () => {
  const { page, close } = await visit(desk, "/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  assert.ok(await page.locator(".skip").isVisible(), "the way past the menu shows itself");
  await page.keyboard.press("Enter");
  assert.equal(new URL(page.url()).hash, "#main");
  const links = await page.locator("a:visible").count();
  const seen = new Set();
  for (let i = 0; i < links + 5; i++) {
    await page.keyboard.press("Tab");
    const place = await page.evaluate(() => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return { name: element.outerHTML, ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
               body: element === document.body };
    });
    if (place.body) continue;
    assert.ok(place.ring, `no ring around ${place.name}`);
    seen.add(place.name);
  }
  assert.ok(seen.size >= links - 1, `${seen.size} of ${links} links were reached`);
  await close();
});

test("the_counter_says_what_the_server_says", async () => {
  const { page, close } = await visit({ ...phone, locale: "nl-NL" }, "/about");
  await page.route("**/v1/stats", (route) =>
    route.fulfill({ json: { finished_total: 12345, finished_per_minute: 2.5, models: [] } }));
  await page.goto("/");
  await page.locator(".counter:not([hidden])").waitFor();
  assert.match(await page.textContent(".counter"), /12\.345.*2,5/);
  await page.route("**/v1/stats", (route) => route.abort());
  await page.reload();
  assert.equal(await page.isVisible(".counter"), false, "nothing is made up");
  await close();
});

test("a_link_that_is_shared_shows_what_it_is", async () => {
  const { page, close } = await visit(desk, "/");
  const property = (name) => page.getAttribute(`meta[property="og:${name}"]`, "content");
  assert.equal(await property("url"), `${server}/`);
  assert.match(await property("title"), /Darkroom/);
  const picture = await page.request.get(await property("image"));
  assert.equal(picture.status(), 200);
  await close();
});
