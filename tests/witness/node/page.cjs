// page.cjs URL SCREENSHOTS: the page at `/` in Chromium. It opens, hears an event, sends one and sees it; an event that holds markup is
// shown as text; pause, find and gaps do what they say.

const { run } = require("./browser.cjs");

const [url, shots] = process.argv.slice(2);
const post = (name, payload) =>
  fetch(`${url}/events/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(payload) });
const expect = (truth, what) => {
  if (!truth) throw new Error(`not so: ${what}`);
};

run(async (page, say, faults) => {
  await page.goto(url);
  await page.locator('#state[data-state="live"]').waitFor();
  say("live");

  const lines = await page.locator("#lines code").allTextContents();
  expect(lines.length === 2 && lines[0].includes("/events/") && lines[1].includes("/subscribe?"), `what to try, without a RESP door: ${lines}`);

  // From elsewhere, by HTTP.
  await post("Outside", { from: "a program" });
  await page.locator("#events li", { hasText: "Outside" }).waitFor();

  // From the page, by keyboard alone.
  await page.getByLabel("Name").fill("FromThePage");
  await page.getByLabel("Payload").fill('{"n": 1}');
  await page.getByRole("button", { name: "Send" }).focus();
  await page.keyboard.press("Enter");
  await page.locator("#events li", { hasText: "FromThePage" }).waitFor();
  await page.locator('#answer[data-good="true"]').waitFor();
  say(await page.locator("#answer").textContent());

  // Refused before it is sent, and refused by the door.
  await page.getByLabel("Payload").fill("{no json");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator('#answer[data-good="false"]', { hasText: "not JSON" }).waitFor();

  // Markup stays text, in every field.
  const markup = `<img src=x onerror="document.title='taken'"><script>document.title="taken"</script>`;
  await post(encodeURIComponent(markup.slice(0, 44)), { text: markup });
  await page.locator("#events pre", { hasText: "<script>" }).first().waitFor();
  expect((await page.locator("#events img, #events script").count()) === 0, "no element out of an event");
  expect((await page.title()) === "Rialto", "no script out of an event has run");

  // Find.
  await page.getByLabel("Find").fill("a program");
  expect((await page.locator("#events li:visible").count()) === 1, "one event is found");
  await page.getByLabel("Find").fill("");

  // Pause holds the list, and gives back what came.
  await page.getByRole("button", { name: "Pause" }).click();
  await post("InThePause", {});
  await page.waitForFunction(() => document.getElementById("held").textContent === "1");
  expect((await page.locator("#events li", { hasText: "InThePause" }).count()) === 0, "nothing moves in a pause");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.locator("#events li", { hasText: "InThePause" }).waitFor();

  if (shots) {
    await page.getByLabel("Payload").fill('{"user_id": 123}');
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width: 1280, height: 860 });
      await page.screenshot({ path: `${shots}/page-${colorScheme}.png` });
    }
    await page.setViewportSize({ width: 390, height: 844 });
    await page.screenshot({ path: `${shots}/page-phone.png` });
  }
  expect(faults.length === 0, `no error in the console: ${faults}`);
  say("done");
});
