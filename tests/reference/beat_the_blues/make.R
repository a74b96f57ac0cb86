# The trial Beat the Blues: residual covariances by nlme's gls, means and differences of the arms by emmeans;
# the random intercept by lmer with the degrees of freedom of Kenward and Roger (pbkrtest by way of emmeans).
# Run in this folder:  Rscript make.R
suppressPackageStartupMessages({
  library(nlme)
  library(lme4)
  library(emmeans)
  library(jsonlite)
})
path <- "../../../src/nestwise/data/datasets/beat_the_blues.csv"
frame <- na.omit(read.csv(path))
frame$treatment <- factor(frame$treatment, levels = c("TAU", "BtheB"))
frame$drug <- factor(frame$drug, levels = c("No", "Yes"))
frame$length <- factor(frame$length, levels = c("<6m", ">6m"))
frame$patient <- factor(frame$patient)
frame$visit <- match(frame$month, c(2, 3, 5, 8))
frame$months <- factor(frame$month)

formula <- bdi ~ bdi_pre * months + treatment * months + drug + length
# nlme's default tolerances leave errors of 1e-4; these leave 1e-7.
tight <- glsControl(maxIter = 500, msMaxIter = 1000, tolerance = 1e-12, msTol = 1e-12, opt = "nlminb")
plain_lists <- function(table, columns) {
  out <- as.list(as.data.frame(table)[columns])
  setNames(lapply(out, function(column) if (is.factor(column)) as.character(column) else column), columns)
}
means_of <- function(fit, ...) {
  by_arm <- emmeans(fit, ~ treatment | months, ...)
  list(
    means = plain_lists(by_arm, c("months", "treatment", "emmean", "SE", "df")),
    differences = plain_lists(contrast(by_arm, "revpairwise", adjust = "none"), c("months", "estimate", "SE", "df", "p.value"))
  )
}
gls_fit <- function(correlation) {
  eval(bquote(gls(.(formula), frame, correlation = .(correlation), weights = varIdent(form = ~1 | visit), control = tight)))
}
un <- gls_fit(quote(corSymm(form = ~ visit | patient)))
ar1 <- gls_fit(quote(corCAR1(form = ~ month | patient)))
ratio <- anova(un, ar1)
of_gls <- function(fit) {
  scales <- coef(fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)
  list(
    log_likelihood = as.numeric(logLik(fit)), n_parameters = attr(logLik(fit), "df"), aic = AIC(fit),
    beta = unname(coef(fit)), std_error = unname(sqrt(diag(vcov(fit)))),
    sd = unname(fit$sigma * scales[as.character(1:4)]),
    correlation = unname(coef(fit$modelStruct$corStruct, unconstrained = FALSE))
  ) |> c(means_of(fit, mode = "df.error"))
}
lmer_tight <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE, optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e5))
mixed <- lmer(update(formula, . ~ . + (1 | patient)), frame, control = lmer_tight)
of_lmer <- c(
  list(
    log_likelihood = as.numeric(logLik(mixed)), n_parameters = attr(logLik(mixed), "df"), aic = AIC(mixed),
    beta = unname(fixef(mixed)), sd = unname(attr(VarCorr(mixed)$patient, "stddev")), sigma = sigma(mixed)
  ),
  means_of(mixed, lmer.df = "kenward-roger")
)
write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("nlme", "lme4", "pbkrtest", "emmeans"), function(p) as.character(packageVersion(p)))),
    rows = nrow(frame), sha256 = sub(" .*", "", system2("sha256sum", path, stdout = TRUE)),
    fits = list(
      mmrm = of_gls(un),
      ar1 = of_gls(ar1),
      random_intercept = of_lmer
    ),
    ratio = list(statistic = ratio$L.Ratio[2], df = abs(diff(ratio$df)), p_value = ratio$`p-value`[2])
  ),
  "expected.json", digits = I(12), auto_unbox = TRUE, null = "null", pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
