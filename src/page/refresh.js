// Brings the page up to date: asks for it again, and puts its new content in the place of the old.
(() => {
  const main = document.querySelector("main");
  const state = document.getElementById("state");
  const pause = document.getElementById("pause");
  let paused = false;
  let last = new Date();

  const clock = (time) => time.toISOString().slice(11, 19) + " UTC";
  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  const show = (page) => {
    const next = page.querySelector("main");
    if (!next) throw new Error("not the page");
    const open = new Set([...main.querySelectorAll("details[open]")].map((one) => one.id));
    for (const one of next.querySelectorAll("details")) one.open = open.has(one.id);
    const focused = main.contains(document.activeElement) ? document.activeElement.id : "";
    main.replaceChildren(...next.childNodes);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    document.title = page.title;
  };

  const refresh = async () => {
    const selection = getSelection();
    // What is being read or copied is left alone.
    if (paused || document.hidden || (selection && !selection.isCollapsed)) return;
    try {
      const answer = await fetch(location.pathname, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      last = new Date();
      say("live");
    } catch {
      say("no answer since " + clock(last));
    }
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume" : "Pause";
    say(paused ? "paused, as of " + clock(last) : "live");
    refresh();
  });
  document.addEventListener("visibilitychange", refresh);
  say("live");
  setInterval(refresh, 5000);
})();
