// The status page in a real browser: `node page.mjs ADDRESS LOG PROFILE [SHOTS]`.
//
// ADDRESS serves the page of a program that follows LOG; PROFILE is an empty directory for the browser; screenshots go
// to the directory SHOTS where it is given. Ends with 1 and says what is wrong where something is.
import assert from "node:assert/strict";
import { appendFileSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [address, log, profile, shots] = process.argv.slice(2);
const base = `http://${address}/`;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 60_000;

const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  viewport: { width: 1100, height: 900 },
  colorScheme: "light",
});

try {
  const page = browser.pages()[0] ?? await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  const asked = [], said = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));

  await page.goto(base);
  assert.match(await page.locator("h1").innerText(), /wrong/);
  console.log("the verdict:", await page.locator("h1").innerText());

  // What is unfolded stays so, and what has the focus keeps it, when the page is brought up to date.
  const summary = page.locator("article.finding summary").first();
  const key = await summary.getAttribute("id");
  await summary.focus();
  await page.keyboard.press("Enter");
  await page.evaluate(() => { globalThis.before = document.querySelector("h1"); });

  // Counts that arrive are shown, and a record shows as the text that it is.
  const media = page.locator("tr[data-category=media] td.n").first();
  const number = async () => Number((await media.innerText()).replace(/\D/g, ""));
  const before = await number();
  const hostile = `<img src=x onerror="globalThis.owned=1"><script>globalThis.owned=1</script></pre>&lt;b&gt;`;
  appendFileSync(log, `ERROR Twilio call CA${"0".repeat(32)} failed: Error 53405 ${hostile}\n`);
  await page.waitForFunction((before) => {
    const cell = document.querySelector("tr[data-category=media] td.n");
    return Number(cell.innerText.replace(/\D/g, "")) === before + 1;
  }, before);
  const record = await page.locator("section:has(#records) pre").first().innerText();
  assert.ok(record.includes(hostile), record);
  assert.equal(await page.evaluate(() => globalThis.owned), undefined);
  assert.equal(await page.locator("main img, main script").count(), 0);
  console.log("a hostile record shows as text:", record);

  assert.ok(await page.evaluate(() => globalThis.before !== document.querySelector("h1")), "it was replaced");
  assert.equal(await page.evaluate(() => document.activeElement.id), key);
  assert.ok(await page.locator(`details:has(> #${key})`).evaluate((one) => one.open));

  // The keyboard reaches everything that can be used.
  await page.locator("#pause").click();
  assert.equal(await page.locator("#pause").innerText(), "Resume");
  assert.match(await page.locator("#state").innerText(), /^paused, as of \d\d:\d\d:\d\d UTC$/);
  const usable = await page.evaluate(() =>
    [...document.querySelectorAll("a[href], button, summary, [tabindex]")].filter((one) => one.checkVisibility()).length);
  await page.evaluate(() => { document.activeElement.blur(); globalThis.reached = new Set(); });
  for (let step = 0; step < usable + 5; step++) {
    await page.keyboard.press("Tab");
    await page.evaluate(() => {
      const one = document.activeElement;
      if (one === document.body) return;
      const ring = getComputedStyle(one);
      if (ring.outlineStyle === "none") throw new Error("no ring around " + one.outerHTML.slice(0, 100));
      globalThis.reached.add(one);
    });
  }
  const reached = await page.evaluate(() => globalThis.reached.size);
  assert.equal(reached, usable);
  console.log("the keyboard reaches", reached, "of", usable);

  // Nothing is amiss for those who see little, light or dark, wide or narrow, folded or not.
  const looks = [["light", 1100], ["dark", 1100], ["light", 390], ["dark", 390]];
  for (const [colorScheme, width] of looks) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 844 });
    for (const open of [false, true]) {
      await page.evaluate((open) => document.querySelectorAll("details").forEach((one) => { one.open = open; }), open);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${colorScheme} ${width}: ${overflow} px wider than the window`);
      await page.evaluate(axe);
      const found = await page.evaluate(() => globalThis.axe.run());
      const wrong = found.violations.map((one) => `${one.id}: ${one.help}: ${one.nodes[0].html}`);
      assert.deepEqual(wrong, [], `${colorScheme} ${width} ${open ? "unfolded" : "folded"}`);
    }
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = false; }));
    if (shots && !(colorScheme === "dark" && width === 390)) {
      const name = width === 390 ? "narrow" : colorScheme;
      await page.setViewportSize({ width, height: width === 390 ? 844 : 1000 });
      // A picture is of a page that lives.
      await page.locator("#pause").click();
      await page.mouse.move(0, 0);
      await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
      await page.screenshot({ path: `${shots}/page-${name}.png` });
      await page.locator("#pause").click();
    }
  }
  console.log("axe finds nothing in", 2 * looks.length, "looks");

  const foreign = asked.filter((url) => !url.startsWith(base));
  assert.deepEqual(foreign, [], "nothing is asked of others");
  assert.deepEqual(said, [], "the browser has nothing to complain about");

  // Without scripts there is the same table.
  const quiet = await browser.newPage();
  const devtools = await browser.newCDPSession(quiet);
  await devtools.send("Emulation.setScriptExecutionDisabled", { value: true });
  await quiet.goto(base);
  assert.equal(await quiet.locator("tr[data-category]").count(), 10);
  assert.ok(await quiet.locator("tr[data-category=media] svg").first().isVisible());
  assert.ok(!await quiet.locator("#pause").isVisible(), "what only scripts can do is not offered");
  console.log("without scripts the table is there");
} finally {
  await browser.close();
}
