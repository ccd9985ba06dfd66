// The words scripts show, as the page's language has them.
export const words = document.getElementById("words").dataset;
export const language = document.documentElement.lang;
