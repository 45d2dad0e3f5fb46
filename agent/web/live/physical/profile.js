// What a profile in which nobody's feelings are judged does, in a sentence.

const ABOUT = {
  "physical-only": "Voices are measured, and nobody's feelings are judged.",
  off: "The analysis is switched off (CALLMOOD_PROFILE=off): calls are listed, and no voice is judged or measured.",
};

export const about = () => ABOUT[document.body.dataset.profile] ?? ABOUT["physical-only"];
